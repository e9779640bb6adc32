"""What was computed once is found again by the content that it was made from."""
