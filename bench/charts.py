#!/usr/bin/env python3
"""Draws the charts of docs/performance.md from what script/bench has written:
usage charts.py BUILD/bench docs/images"""

import json
import os
import sys

LINE, BAR, GAP, LEFT, WIDTH, VALUE = 13, 11, 9, 300, 400, 80
COLOURS = {"roost": "#2563eb", "limit": "#9ca3af", "peer": "#c2410c"}


def text(x, y, content, anchor="start", weight="normal"):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{content}</text>")


def shown(value):
    if value >= 1e6:
        return f"{value / 1e6:.1f} M"
    if value >= 1e4:
        return f"{value / 1e3:.0f} k"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def chart(title, rows):
    """A group of bars for each row: as long as the largest of its group, so that ratios are seen."""
    parts, y = [], 34
    for label, bars in rows:
        top = max(value for _, value in bars)
        parts.append(text(LEFT - 10, y + (BAR + 2) * len(bars) / 2 + 3, label, "end"))
        for who, value in bars:
            length = max(1, WIDTH * value / top)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{length:.0f}" height="{BAR}" rx="2" '
                         f'fill="{COLOURS[who]}"/>')
            parts.append(text(LEFT + length + 6, y + BAR - 1.5, shown(value)))
            y += BAR + 2
        y += GAP
    legend = "".join(
        f'<rect x="{LEFT + 90 * i}" y="16" width="10" height="10" rx="2" fill="{COLOURS[who]}"/>' +
        text(LEFT + 90 * i + 15, 25, who)
        for i, who in enumerate(sorted({who for _, bars in rows for who, _ in bars},
                                       key=list(COLOURS).index)))
    width = LEFT + WIDTH + VALUE
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y}" role="img" '
            f'aria-label="{title}" font-family="system-ui, sans-serif" font-size="{LINE - 1}">'
            f'<rect width="100%" height="100%" fill="#ffffff"/><g fill="#1f2937">'
            + text(10, 25, title, weight="bold") + legend + "".join(parts) + "</g></svg>\n")


def bars_of(row):
    bars = [("roost", row["roost"])]
    if row["limit_value"]:
        bars.append(("limit", row["limit_value"]))
    if row["peer_value"]:
        bars.append(("peer", row["peer_value"]))
    return bars


def main():
    source, target = sys.argv[1:3]

    def rows(suite, wanted):
        with open(os.path.join(source, suite + ".json"), encoding="utf-8") as file:
            return [(f"{row['figure'].strip()}, {row['unit']}", bars_of(row))
                    for row in json.load(file) if wanted(row) and row["roost"] > 0]

    def write(name, title, *groups):
        with open(os.path.join(target, name), "w", encoding="utf-8") as file:
            file.write(chart(title, [row for group in groups for row in group]))

    write("performance_channels.svg", "Channels: more is better",
          rows("channels", lambda row: row["unit"] == "1/CPU s"))
    write("performance_latency.svg", "Channels: less is better",
          rows("channels", lambda row: row["unit"] == "us" and row["limit_value"] > 0),
          rows("channels", lambda row: row["figure"].startswith("idle socket")))
    write("performance_runtime.svg", "Processes, supervision and nodes, against Erlang",
          *(rows(suite, lambda row: row["peer_value"] > 0)
            for suite in ("processes", "supervision", "nodes")))


if __name__ == "__main__":
    main()
