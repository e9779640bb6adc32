"""Backtest: which books are held over the bars of a run, and what it says of them.

The leaderboard holds every row by :func:`ranking_pipeline.portfolio.backtest.hold`, to
compare them; the backtest holds one of them as an account would. Both decide on the same
scores, trade at the same lag, in as many staggered books, with the same tails and costs
unless ``backtest.…`` says otherwise, and both count cost and turnover alike. They differ:

==================== ============================ ====================================
what                 leaderboard                  backtest
==================== ============================ ====================================
end of a split       positions are left open      sold at their cost (``exit_at_end``)
name that leaves the halted: not sold, its whole  its returns count until it is sold at
universe             move comes if it returns     the next trade of its book
name that ends       stays in the book, without   settled: at its delisting return or,
                     a return                     without one, at its last price
borrowed shares      free                         ``borrow_bps_per_year``
tails, band, legs,   the evaluation's tails, both ``tail_share``, ``band_share``,
trades, capital      legs, every bar, one leg     ``legs``, ``rebalance_bars``,
                                                  ``capital_base``
row that is constant no book                      held as it is
==================== ============================ ====================================

With ``exit_at_end`` off and all names members to the end the two are the same to the last
bit. A monthly portfolio is on no leaderboard.
"""
