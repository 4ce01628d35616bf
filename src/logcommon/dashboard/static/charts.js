// Small pictures of counts, as SVG.

import { html, useLayoutEffect, useRef, useState } from "./vendor/htm-preact.js";
import { SEVERITIES, count, day, minute, short } from "./format.js";

const SPARK = { width: 96, height: 20 };

// A bar for each count, relative to the largest one.
export function Sparkline({ counts }) {
  const most = Math.max(1, ...counts);
  const step = SPARK.width / counts.length;
  const path = counts
    .map((each, place) => {
      if (each <= 0) return "";
      const height = Math.max(1, (each / most) * SPARK.height);
      return `M${(place * step).toFixed(1)} ${SPARK.height}v-${height.toFixed(1)}h${(step - 1).toFixed(1)}v${height.toFixed(1)}z`;
    })
    .join("");
  const label = `at most ${count(most)} in an hour`;
  return html`<svg class="spark" width=${SPARK.width} height=${SPARK.height} role="img" aria-label=${label}>
    <title>${label}</title>
    <path d=${path} />
  </svg>`;
}

const CHART = { height: 150, left: 44, bottom: 18, top: 14 };
const LABEL = 90; // pixels that the label of a bar takes

// Calls by severity, stacked, with a line for each mark.
export function Activity(props) {
  const place = useRef(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const sized = new ResizeObserver(([entry]) => setWidth(Math.round(entry.contentRect.width)));
    sized.observe(place.current);
    return () => sized.disconnect();
  }, []);
  return html`<div class="activity" ref=${place}>${width > 0 && html`<${Bars} ...${props} width=${width} />`}</div>`;
}

function Bars({ bars, marks, seconds, width }) {
  const totals = bars.map((bar) => Object.values(bar.calls).reduce((sum, each) => sum + each, 0));
  const most = nice(Math.max(1, ...totals));
  const step = (width - CHART.left) / bars.length;
  const scale = (CHART.height - CHART.bottom - CHART.top) / most;
  const base = CHART.height - CHART.bottom;
  const start = Date.parse(bars[0].time);
  const every = Math.ceil(LABEL / step);

  const labelled = (bar, place) => (bars.length - 1 - place) % every === 0;
  return html`<svg width=${width} height=${CHART.height} role="img" aria-label="Calls by severity, at most ${count(Math.max(...totals))}">
    ${[0.5, 1].map(
      (part) => html`<g class="grid" key=${part}>
        <line x1=${CHART.left} x2=${width} y1=${base - most * part * scale} y2=${base - most * part * scale} />
        <text x=${CHART.left - 6} y=${base - most * part * scale + 4} text-anchor="end">${short(most * part)}</text>
      </g>`,
    )}
    ${bars.map((bar, place) => {
      let y = base;
      const x = CHART.left + place * step;
      return html`<g key=${bar.time}>
        <title>${title(bar, totals[place], seconds)}</title>
        <rect class="hit" x=${x} y=${CHART.top} width=${step} height=${base - CHART.top} />
        ${ordered(bar.calls).map(([severity, calls]) => {
          const height = calls * scale;
          y -= height;
          const known = SEVERITIES.includes(severity) ? severity : "other";
          return html`<rect key=${severity} class=${`bar ${known}`} x=${x + 1} y=${y} width=${Math.max(1, step - 2)} height=${height} />`;
        })}
        ${labelled(bar, place) && html`<text x=${place === bars.length - 1 ? width : x + step / 2} y=${CHART.height - 4} text-anchor=${place === bars.length - 1 ? "end" : "middle"}>${minute(bar.time)}</text>`}
      </g>`;
    })}
    ${marks.map((mark) => {
      const x = CHART.left + ((Date.parse(mark.time) - start) / 1000 / seconds) * step;
      if (x < CHART.left || x > width) return null;
      const isLate = x > width * 0.85;
      return html`<g class="mark" key=${mark.time}>
        <title>${mark.text}, ${day(mark.time)} ${minute(mark.time)}</title>
        <line x1=${x} x2=${x} y1=${CHART.top - 4} y2=${base} />
        <text x=${isLate ? x - 4 : x + 4} y="10" text-anchor=${isLate ? "end" : "start"}>${mark.text.slice(0, 24)}</text>
      </g>`;
    })}
  </svg>`;
}

// The counts of one message over the kept hours.
export function Series({ series }) {
  const bars = series.map(({ time, count: calls }) => ({ time, calls: { info: calls } }));
  return html`<${Activity} bars=${bars} marks=${[]} seconds=${3600} />`;
}

function ordered(calls) {
  const place = ([severity]) => (SEVERITIES.indexOf(severity) + 1 || 3.5);
  return Object.entries(calls).sort((one, other) => place(one) - place(other));
}

function title(bar, total, seconds) {
  const parts = ordered(bar.calls).map(([severity, calls]) => `${severity} ${count(calls)}`);
  const unit = seconds === 3600 ? "hour from" : "minute from";
  return `${unit} ${day(bar.time)} ${minute(bar.time)}: ${count(total)} calls${parts.length ? ` (${parts.join(", ")})` : ""}`;
}

// The next round number: so that the axis doesn't change with every call.
function nice(number) {
  const power = 10 ** Math.floor(Math.log10(number));
  return [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].map((each) => each * power).find((each) => each >= number);
}
