"""The looks of pages and pictures: colours for light and dark, nothing that needs a network."""

# Lines and dots; of a page and of a picture alone. The colours differ in lightness too.
CHART = """
:root{--ink:#1b1f23;--soft:#5b6670;--line:#d5dae0;--paper:#fff;--card:#f6f8fa;--back:#ccd3da;
--c0:#0b62a4;--c1:#c2410c;--c2:#0f7b54;--c3:#8a3ab9;--c4:#8d6b00;--c5:#b0165f;
color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaee;--soft:#9aa6b2;--line:#39424c;--paper:#14181c;
--card:#1c2228;--back:#47525d;--c0:#6cb6ff;--c1:#ff9a62;--c2:#5fd3a0;--c3:#cf9bf5;--c4:#e2bf4a;
--c5:#ff8fc0}}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}
svg .title{font-weight:600;fill:var(--ink);font-size:12px}
svg .grid{stroke:var(--line);stroke-width:1}
svg .curve{fill:none;stroke-width:2;stroke-linejoin:round}
svg .dot{fill-opacity:.45}
svg .best{fill-opacity:1;stroke:var(--ink);stroke-width:1.5}
"""

PAGE = """
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:72rem;font:16px/1.5 system-ui,sans-serif;
color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.35rem;line-height:1.25;margin:3rem 0 .5rem;padding-top:1rem;
border-top:2px solid var(--ink)}
h3{font-size:1.15rem;margin:2.25rem 0 .5rem}
h4{font-size:.9rem;margin:1.25rem 0 .35rem}
p{margin:.4rem 0;max-width:44rem}
a{color:var(--c0)}
.note,figcaption,nav{color:var(--soft);font-size:.875rem}
nav a{margin-right:.9rem;white-space:nowrap;max-width:100%}
nav{margin:.75rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(9.5rem,1fr));gap:.6rem;
margin:1rem 0}
.tile{background:var(--card);border-radius:6px;padding:.6rem .8rem}
.tile b{display:block;font-size:1.3rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.8rem;line-height:1.3;display:block}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,22rem),1fr));gap:1rem}
.charts svg{width:100%;max-width:34rem;height:auto;display:block}
.wide{overflow-x:auto;margin-bottom:1rem}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{padding:.2rem .75rem .2rem 0;text-align:left;vertical-align:top}
thead th{border-bottom:1px solid var(--line);font-weight:600;white-space:nowrap;
vertical-align:bottom}
tbody th{font-weight:400}
.num,thead th.num{text-align:right;white-space:nowrap}
.wide>table th,.wide>table td{overflow-wrap:normal}
.wide>table tbody th{min-width:6rem;max-width:22rem;overflow-wrap:anywhere}
table.facts th{color:var(--soft);padding-right:1.5rem;min-width:8rem}
table.bars{width:100%;max-width:52rem}
table.bars th[scope=row]{width:30%;min-width:6rem}
table.bars td.num{width:1%}
.track{position:relative;height:.85rem;margin-top:.3rem;min-width:5rem}
.track i{position:absolute;left:0;top:0;bottom:0;background:var(--back);border-radius:2px}
.track i+i{top:22%;bottom:22%;background:var(--c0)}
.track i:only-child{background:var(--c0)}
.spark{width:100%;height:1.5rem;min-width:5rem;display:block;background:var(--card)}
.spark path{vector-effect:non-scaling-stroke;stroke:var(--c0);stroke-width:1.5;fill:none}
.key{display:inline-block;width:1rem;height:.6rem;border-radius:2px;margin:0 .35rem 0 .9rem}
.warn{border-left:3px solid var(--c1);padding-left:.75rem}
details summary{cursor:pointer;color:var(--c0);font-size:.875rem;margin:.5rem 0}
@media print{body{max-width:none}h2{break-after:avoid}svg,tr{break-inside:avoid}}
"""
