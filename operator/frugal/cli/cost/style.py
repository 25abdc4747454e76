"""The look of the cost page, light and dark: colours with a contrast of at least 4.5 to 1, focus that is seen."""

from __future__ import annotations

LIGHT = {
    "back": "#ffffff",
    "text": "#1b1f24",
    "quiet": "#57606a",
    "line": "#d0d7de",
    "bar": "#0b6e4f",
    "link": "#0550ae",
}
DARK = {
    "back": "#0d1117",
    "text": "#e6edf3",
    "quiet": "#9da7b3",
    "line": "#30363d",
    "bar": "#3fb98a",
    "link": "#79b8ff",
}


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())


STYLE = (
    f":root{{{_variables(LIGHT)}}}@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    "*{box-sizing:border-box}body{margin:0;font:16px/1.5 system-ui,sans-serif;color:var(--text);background:var(--back)}"
    "main,nav{max-width:60rem;margin:auto;padding:0 1rem}nav{display:flex;gap:1rem;padding-top:1rem}"
    "a{color:var(--link)}"
    ".skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:.5rem;background:var(--back);padding:.5rem}"
    ":focus-visible{outline:3px solid var(--link);outline-offset:2px}main:focus{outline:none}"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(11rem,1fr));gap:1rem;margin:0}"
    ".cards div{border:1px solid var(--line);border-radius:6px;padding:.75rem}dt,small,.note{color:var(--quiet)}"
    "dd{margin:0;font-size:1.5rem;font-variant-numeric:tabular-nums}small{font-size:.9rem}"
    "figure{margin:1.5rem 0}figcaption,caption{font-weight:600;text-align:left;padding:.25rem 0}"
    "svg{width:100%;height:auto}svg text{fill:var(--text);font-size:13px}svg rect{fill:var(--bar)}"
    ".wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:right;white-space:nowrap}"
    "th:first-child{text-align:left}tbody th{font-weight:400}summary{cursor:pointer;color:var(--link)}"
    "@media print{nav,.skip{display:none}}"
)
