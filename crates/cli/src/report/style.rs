//! The style sheet: calm, readable, for screen (light and dark) and print.
//!
//! Text meets a contrast of 7:1 and marks 3:1 on both backgrounds. Series are told apart by colour (a
//! palette that is safe for colour-blind readers) and by dash pattern or shape.

/// Style of the whole page.
pub const STYLE: &str = r#"
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --ink: #1d2127; --soft: #4c5561; --line: #d9dce1; --panel: #f3f4f1; --accent: #7a2e5d;
  --s0: #0b5fa5; --s1: #b3420b; --s2: #1f7a4d; --s3: #7b3fa0; --s4: #8a6100; --s5: #a4243b;
  --floor: #6b7280; --cell: 11, 95, 165;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #15171b; --ink: #e8eaed; --soft: #b3bac4; --line: #353a43; --panel: #1e2127; --accent: #e3a0c6;
    --s0: #6db3f2; --s1: #f2a26d; --s2: #6fcf9c; --s3: #c79be8; --s4: #dcb95a; --s5: #f08a9b;
    --floor: #9aa3af; --cell: 109, 179, 242;
  }
}
* { box-sizing: border-box; }
html { font-size: 16px; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font-family: "Source Sans 3", "Segoe UI", system-ui, -apple-system, "Helvetica Neue", Arial, sans-serif; line-height: 1.55; }
main { max-width: 72rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1, h2, h3 { line-height: 1.2; font-weight: 650; text-wrap: balance; }
h1 { font-size: 2.1rem; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.35rem; margin: 3.2rem 0 .6rem; padding-top: 1.2rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
p { max-width: 46rem; margin: .4rem 0 .9rem; }
.lead { font-size: 1.12rem; color: var(--soft); }
.soft, figcaption, caption { color: var(--soft); font-size: .9rem; }
code, .digest { font-family: ui-monospace, "SF Mono", "DejaVu Sans Mono", Menlo, Consolas, monospace; font-size: .86em; }
.digest { overflow-wrap: anywhere; }
a { color: var(--s0); }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; padding: 0; margin: 1.2rem 0 0; font-size: .95rem; }
.facts { display: flex; flex-wrap: wrap; gap: 1px; background: var(--line);
  border: 1px solid var(--line); border-radius: 8px; overflow: hidden; margin: 1.6rem 0 0; }
.facts div { flex: 1 1 9.5rem; background: var(--panel); padding: .8rem 1rem; }
.facts dt { color: var(--soft); font-size: .85rem; }
.facts dd { margin: 0; font-size: 1.15rem; font-weight: 600; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .42rem .9rem .42rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { font-weight: 600; font-size: .88rem; color: var(--soft); border-bottom: 2px solid var(--line); vertical-align: bottom; }
tbody th { font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
.results td.number, .results th.number { padding: .42rem .45rem; }
.results thead th.number { white-space: normal; }
.results tr.floor .tag { display: block; width: max-content; margin: .2rem 0 0; }
.jobs td { white-space: nowrap; }
.results th[scope="row"] { min-width: 12.5rem; }
.results thead th { padding-bottom: .2rem; }
.results th.group { text-align: center; border-bottom: 1px solid var(--line); padding-left: 1.2rem; }
.interval { color: var(--soft); font-size: .86em; display: block; }
tr.floor th, tr.floor td { background: var(--panel); font-weight: 400; }
tr.floor th { padding-left: .5rem; border-left: 4px double var(--floor); }
.tag { display: inline-block; font-size: .74rem; font-weight: 600; letter-spacing: .03em; text-transform: uppercase; color: var(--soft);
  border: 1px solid var(--floor); border-radius: 3px; padding: 0 .35rem; margin-left: .5rem; vertical-align: .1em; }
.best { font-weight: 700; text-decoration: underline; text-decoration-thickness: 2px; text-underline-offset: 3px; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 29rem), 1fr)); gap: 1.6rem 2.2rem; }
.small { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); gap: 1.4rem 2rem; }
.grid3 { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 18rem), 1fr)); gap: 1.4rem 2rem; }
figure { margin: 0; break-inside: avoid; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { fill: var(--ink); font-size: 12px; font-family: inherit; }
svg .axis { fill: var(--soft); font-size: 11px; }
svg .rule { stroke: var(--line); stroke-width: 1; }
svg .zero { stroke: var(--floor); stroke-width: 1; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .88rem; margin: .3rem 0 0; padding: 0; list-style: none; }
.legend svg { display: inline-block; width: 28px; height: 10px; vertical-align: middle; margin-right: .35rem; }
.swatch { display: inline-block; width: .9rem; height: .9rem; border: 1px solid var(--floor); border-radius: 2px; vertical-align: -.1rem; margin-right: .35rem; }
.strips { display: flex; flex-wrap: wrap; gap: 1.2rem 1.8rem; }
.strip figcaption { margin-top: .2rem; max-width: 24rem; overflow-wrap: anywhere; }
.pictures { display: flex; gap: .35rem; }
.picture { width: 7.2rem; }
.picture span { display: block; font-size: .8rem; color: var(--soft); text-align: center; }
.picture img, .missing { width: 100%; aspect-ratio: 1; border-radius: 3px; border: 1px solid var(--line); image-rendering: auto; }
.missing { display: grid; place-items: center; color: var(--soft); font-size: .8rem; background: var(--panel); }
.confusion td, .confusion th { text-align: right; padding: .3rem .55rem; border: 1px solid var(--line); }
.confusion thead th, .confusion tbody th { font-weight: 500; color: var(--soft); font-size: .85rem; }
.confusion td { min-width: 3.6rem; }
.confusion .diagonal { font-weight: 700; }
.share { display: block; font-size: .78rem; color: var(--soft); }
.tree, .tree ul { list-style: none; margin: 0; padding-left: 1.1rem; border-left: 1px solid var(--line); }
.tree { padding-left: 0; border: 0; }
.tree li { padding: .16rem 0; }
.kind { display: inline-block; min-width: 6.6rem; font-weight: 600; }
details { margin: .5rem 0; }
summary { cursor: pointer; color: var(--soft); }
pre { background: var(--panel); padding: .8rem 1rem; border-radius: 6px; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
.verdict { font-size: 1.05rem; }
.note { border-left: 3px solid var(--accent); padding: .1rem 0 .1rem 1rem; margin: 1rem 0; }
footer { margin-top: 4rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .88rem; }
@page { margin: 14mm; }
@media print {
  html { font-size: 10.5px; }
  svg text { font-size: 12px; }
  .scroll { overflow: visible; }
  .grid { grid-template-columns: 1fr 1fr; }
  .results th[scope="row"] { min-width: 10rem; }
  :root { --paper: #fff; --panel: #f4f4f4; --ink: #000; --soft: #333; --line: #bbb; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  h2 { break-after: avoid; }
  tr, figure { break-inside: avoid; }
}
"#;
