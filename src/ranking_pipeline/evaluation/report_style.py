"""Report style: the stylesheet and the script of the report."""

CSS = """
:root{--ink:#1f2933;--soft:#66727f;--line:#e1e5ea;--paper:#fff;--wash:#f7f8fa;
--accent:#2f6f9f;--good:#1d6f42;--bad:#a8322a;--chosen:#eaf3fa}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.55 -apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}
.page{display:grid;grid-template-columns:170px minmax(0,1fr);gap:28px;
max-width:1560px;margin:0 auto;padding:0 28px 64px}
nav{position:sticky;top:0;align-self:start;max-height:100vh;overflow:auto;
padding:40px 0 20px;font-size:13.5px}
nav b{display:block;font-size:11px;letter-spacing:.08em;text-transform:uppercase;
color:var(--soft);margin-bottom:8px}
nav a{display:block;padding:4px 0 4px 12px;border-left:2px solid var(--line);
color:var(--soft);text-decoration:none}
nav a:hover{color:var(--accent);border-color:var(--accent)}
main{padding-top:36px;min-width:0}
h1{font-size:28px;line-height:1.2;letter-spacing:-.01em;margin:0 0 4px}
.subtitle{color:var(--soft);margin:0 0 18px}
h2{font-size:21px;letter-spacing:-.005em;margin:52px 0 6px;padding-top:16px;
border-top:1px solid var(--line)}
h3{font-size:14.5px;margin:26px 0 6px}
p{margin:0 0 10px;max-width:88ch}
.facts{display:flex;flex-wrap:wrap;gap:4px 26px;margin:0 0 20px;font-size:13px}
.facts div{white-space:nowrap}.facts dt{display:inline;color:var(--soft)}
.facts dd{display:inline;margin:0 0 0 6px}
.summary{background:var(--wash);border:1px solid var(--line);
border-left:4px solid var(--accent);border-radius:6px;padding:18px 22px 14px}
.summary .headline{font-size:19px;font-weight:600;margin:0 0 6px;line-height:1.3}
.tiles{display:flex;flex-wrap:wrap;gap:10px 36px;margin:14px 0 8px}
.tile .value{font-size:23px;font-weight:600;font-variant-numeric:tabular-nums;
white-space:nowrap;line-height:1.2}
.tile .label{font-size:12px;color:var(--soft)}
.stages{font-size:13.5px;margin:12px 0 0;padding:10px 0 0;list-style:none;
border-top:1px solid var(--line)}
.stages:first-child{border:0;margin:0;padding:0}
.stages li{margin:3px 0}.stages b{font-weight:600;margin-right:6px}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch;margin:0 0 4px}
table{border-collapse:collapse;font-size:12.5px;line-height:1.35;
font-variant-numeric:tabular-nums}
th{font-weight:600;color:var(--soft);text-align:left;vertical-align:bottom;
border-bottom:1.5px solid #b8c2cc;padding:4px 8px;font-size:11.5px;line-height:1.25}
td{padding:4px 8px;border-bottom:1px solid #eef1f4;white-space:nowrap}
td.wrap{white-space:normal;min-width:200px;max-width:460px;overflow-wrap:break-word}
th.n,td.n{text-align:right}
th:first-child,td:first-child{padding-left:10px}
tr.rule td{border-top:2px solid #9aa5b1}
tr.chosen td{background:var(--chosen);font-weight:600}
tr.chosen td:first-child{box-shadow:inset 3px 0 0 var(--accent)}
tr.baseline td{color:#7b8794;font-style:italic}
tr.benchmark td{color:#3e4c59}
tr.oracle td{color:#3e4c59;background:#fbf8ef}
tr.muted td{color:#9aa5b1}
td .positive{color:var(--good)}td .negative{color:var(--bad)}
.tag{display:inline-block;font-size:10.5px;font-weight:500;font-style:normal;
color:var(--soft);border:1px solid var(--line);border-radius:8px;padding:0 6px;
margin-left:6px;background:#fff}
.caption{font-size:12.5px;color:var(--soft);max-width:110ch;margin:4px 0 8px}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,460px),1fr));
gap:6px 32px;align-items:start}
figure{margin:8px 0 0;min-width:0}figcaption h3{margin:16px 0 0}
.figures figure:only-child{max-width:920px}.figures .wide{grid-column:1/-1}
.plot{width:100%;min-height:120px}
footer{margin-top:48px;padding-top:12px;border-top:1px solid var(--line);
font-size:12.5px;color:var(--soft)}
@media(max-width:1000px){.page{display:block;padding:0 16px 40px}
nav{max-height:none;padding:8px 0;background:rgba(255,255,255,.96);z-index:5;
border-bottom:1px solid var(--line);white-space:nowrap;overflow-x:auto}
nav b{display:none}nav a{display:inline-block;border:0;padding:2px 14px 2px 0}
main{padding-top:18px}h1{font-size:23px}h2{margin-top:36px;scroll-margin-top:40px}
.summary{padding:14px 14px 10px}.tile .value{font-size:20px}.tiles{gap:10px 26px}
td:first-child,th:first-child{position:sticky;left:0;background:#fff}
tr.chosen td:first-child{background:var(--chosen)}
tr.oracle td:first-child{background:#fbf8ef}
td.wrap:first-child{min-width:130px}}
@media print{nav{display:none}.page{display:block;padding:0}body{font-size:11px}
table{font-size:8.5px}td,th{padding:2px 4px}figure,tr{break-inside:avoid}
h2,h3{break-after:avoid}.scroll{overflow:visible}}
"""

SCRIPT = """
document.querySelectorAll('script[data-figure]').forEach(function(source){
  var figure=JSON.parse(source.textContent);
  Plotly.newPlot(source.dataset.figure,figure.data,figure.layout,
    {responsive:true,displayModeBar:false});
});
"""
