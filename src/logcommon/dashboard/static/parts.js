// What the page shows: one component for each document.

import { Component, html, useState } from "./vendor/htm-preact.js";
import { Activity, Sparkline } from "./charts.js";
import { SEVERITIES, clock, count, factor, hourText, minute, moment, rate, severityClass, share } from "./format.js";

const MOST_ROWS = 1000;

// A component that is drawn again only if it gets something else: each document comes by itself.
function pure(render) {
  return class extends Component {
    constructor() {
      super();
      this.render = render;
    }

    shouldComponentUpdate(next, state) {
      return state !== this.state || Object.keys(next).some((each) => next[each] !== this.props[each]);
    }
  };
}

export const Now = pure(function Now({ activity, view, show }) {
  const span = view.span === "minutes" ? "minutes" : "hours";
  if (!activity?.hours) return html`<section class="now"><div class="activity"></div></section>`;
  const bars = activity[span];
  const used = new Set(bars.flatMap((bar) => Object.keys(bar.calls)));
  const named = [...SEVERITIES.filter((each) => used.has(each)), ...[...used].filter((each) => !SEVERITIES.includes(each))];
  return html`<section class="now" aria-label="Calls">
    <div class="heading">
      <h2>Calls by ${span === "hours" ? "hour" : "minute"}</h2>
      <p class="legend">${named.map((each) => html`<span key=${each} class=${severityClass(each)}>${each}</span>`)}</p>
      <div class="choice" role="group" aria-label="span">
        ${[["hours", "24 hours"], ["minutes", "60 minutes"]].map(
          ([each, text]) => html`<button key=${each} aria-pressed=${span === each} onClick=${() => show({ span: each === "minutes" ? each : "" })}>${text}</button>`,
        )}
      </div>
    </div>
    <${Activity} bars=${bars} marks=${activity.marks} seconds=${span === "hours" ? 3600 : 60} />
  </section>`;
});

export const Common = pure(function Common({ summary, view, show }) {
  if (!summary?.rows) return html`<section class="common"><p class="empty">Loading…</p></section>`;
  const { rows, messages, hour } = summary;
  const most = Math.max(1, ...rows.map((row) => row.count));
  return html`<section class="common" aria-label="Common messages">
    <div class="heading">
      <h2>Common messages</h2>
      <p>${hour ? html`${hourText(hour)} UTC · ${count(summary.calls)} calls` : ""}</p>
    </div>
    ${rows.length === 0 && html`<${Nothing} view=${view} />`}
    ${rows.length > 0 && html`<table role="table" class=${view.name ? "" : "with-name"}>
      <thead role="rowgroup"><tr role="row">
        <th role="columnheader" class="number">count</th><th role="columnheader" class="number">share</th>
        <th role="columnheader" class="number rare">/min</th><th role="columnheader">change</th>
        <th role="columnheader" class="rare">24 hours</th><th role="columnheader">severity</th>
        ${!view.name && html`<th role="columnheader">service</th>`}<th role="columnheader">message</th>
      </tr></thead>
      ${blocks(rows).map((each, place) => html`<${Block} key=${place} place=${place} rows=${each} most=${most}
        withName=${!view.name} show=${show} />`)}
    </table>`}
    <${More} shown=${rows.length} all=${messages} show=${show} />
  </section>`;
});

const BLOCK = 25; // rows

function blocks(rows) {
  return Array.from({ length: Math.ceil(rows.length / BLOCK) }, (_, place) => rows.slice(place * BLOCK, (place + 1) * BLOCK));
}

// Rows that are drawn together, and again only while they can be seen: there may be a thousand, and
// to draw them all at once would hold up the browser for longer than a frame.
class Block extends Component {
  constructor({ place }) {
    super();
    this.isSeen = place === 0;
    this.state = { isDrawn: place === 0 };
  }

  componentDidMount() {
    if (!this.state.isDrawn) this.later = setTimeout(() => this.setState({ isDrawn: true }), 20 * this.props.place);
    this.watcher = new IntersectionObserver(
      ([entry]) => {
        this.isSeen = entry.isIntersecting;
        if (this.isSeen) this.forceUpdate();
      },
      { rootMargin: "200px" },
    );
    this.watcher.observe(this.base);
  }

  componentWillUnmount() {
    clearTimeout(this.later);
    this.watcher.disconnect();
  }

  shouldComponentUpdate(next, state) {
    const isOther = next.rows.length !== this.props.rows.length || next.withName !== this.props.withName;
    return this.isSeen || isOther || state.isDrawn !== this.state.isDrawn;
  }

  render({ rows, most, withName, show }, { isDrawn }) {
    if (!isDrawn) return html`<tbody role="rowgroup"></tbody>`;
    return html`<tbody role="rowgroup">${rows.map(
      (row) => html`<${CommonRow} key=${`${row.name}\n${row.severity}\n${row.message}`}
        row=${row} most=${most} withName=${withName} show=${show} />`,
    )}</tbody>`;
  }
}

// A row is drawn again only if it has changed.
class CommonRow extends Component {
  shouldComponentUpdate(next) {
    const { row, most, withName } = this.props;
    return most !== next.most || withName !== next.withName || JSON.stringify(row) !== JSON.stringify(next.row);
  }

  render({ row, most, withName, show }) {
    return html`<tr role="row" class=${row.muted ? "muted" : ""}>
      <td role="cell" class="number"><span class="bar" style=${{ width: `${Math.max(0, row.count / most) * 100}%` }}></span>${count(row.count)}</td>
      <td role="cell" class="number">${share(row.share)}</td>
      <td role="cell" class="number rare">${rate(row.per_minute)}</td>
      <td role="cell"><${ChangeText} kind=${row.change} atLeast=${row.at_least} /></td>
      <td role="cell" class="rare"><${Sparkline} counts=${row.history} /></td>
      <td role="cell" class=${severityClass(row.severity)}>${row.severity}</td>
      ${withName && html`<td role="cell" class="name">${row.name}</td>`}
      <td role="cell" class="message"><${MessageLink} row=${row} show=${show} /></td>
    </tr>`;
  }
}

function MessageLink({ row, show }) {
  const open = () => show({ message: row.message, in_name: row.name, in_severity: row.severity });
  return html`<button class="link" title=${row.example ?? ""} onClick=${open}>${row.muted && html`<span class="tag">muted</span> `}${row.message || "(empty)"}</button>`;
}

function ChangeText({ kind, atLeast }) {
  if (!kind || kind === "steady") return null;
  const text = { rising: `↑ ${factor(atLeast)}`, falling: `↓ ${factor(atLeast)}` }[kind] ?? kind;
  const title = atLeast > 1 ? `${kind}, at least ${factor(atLeast)}` : kind;
  return html`<span class=${`kind ${kind}`} title=${title}>${text}</span>`;
}

function More({ shown, all, show }) {
  if (shown >= all) return null;
  const next = Math.min(MOST_ROWS, all);
  return html`<p class="more">${count(shown)} of ${count(all)} shown${" "}
    ${shown < MOST_ROWS && html`<button onClick=${() => show({ rows: next })}>show ${count(next)}</button>`}
  </p>`;
}

function Nothing({ view }) {
  const isFiltered = view.name || view.severity || view.text || view.hour;
  return isFiltered
    ? html`<p class="empty">No message is like this. <a href="./">Show all</a></p>`
    : html`<div class="empty"><p>Nothing was logged yet.</p>
        <p>Log something from code, <code>await log.log_common("api", "cache miss")</code>, or from a file:
        <code>logcommon ingest app.log</code>. It shows up here by itself.</p></div>`;
}

export const Changes = pure(function Changes({ changes, view, show }) {
  const found = changes?.changes;
  return html`<section class="changes" aria-label="What has changed">
    <div class="heading"><h2>What has changed</h2><p>${changes?.before && compared(changes)}</p></div>
    ${!found && html`<p class="empty">Loading…</p>`}
    ${found?.length === 0 && html`<p class="empty">Nothing, as far as one can tell.</p>`}
    <ul>${(found ?? []).slice(0, 30).map(
      (each) => html`<li key=${`${each.name}\n${each.severity}\n${each.message}`} class=${each.muted ? "muted" : ""}>
        <span class=${`kind ${each.kind}`}>${each.kind}</span>
        ${each.at_least > 1 && html`<b>at least ${factor(each.at_least)}</b>`}
        <span class=${severityClass(each.severity)}>${each.severity}</span>
        ${!view.name && html`<span class="name">${each.name}</span>`}
        <span class="rates">${rate(each.rate_before)} → ${rate(each.rate_after)} /h</span>
        <${MessageLink} row=${each} show=${show} />
      </li>`,
    )}</ul>
    ${found?.length > 30 && html`<p class="more">30 of ${count(found.length)} shown</p>`}
  </section>`;
});

function compared({ before }) {
  const [newest] = before.hours;
  return before.hours.length === 1 ? `compared with ${hourText(newest)}` : `compared with ${before.hours.length} hours`;
}

export const Recent = pure(function Recent({ recent, view }) {
  const [held, hold] = useState(null);
  const rows = (held ?? recent)?.rows;
  return html`<section class="recent" aria-label="Recent log">
    <div class="heading">
      <h2>Recent</h2>
      <button aria-pressed=${held !== null} onClick=${() => hold(held ? null : recent)}>${held ? "paused" : "pause"}</button>
    </div>
    ${rows?.length === 0 && html`<p class="empty">Nothing yet.</p>`}
    <ol tabindex="0">${(rows ?? []).map(
      (row, place) => html`<li key=${rows.length - place}>
        <time>${row.time ? clock(row.time) : ""}</time>
        <span class=${severityClass(row.severity)}>${row.severity}</span>
        ${!view.name && html`<span class="name">${row.name}</span>`}
        <span class="text">${row.message || "(empty)"}</span>
      </li>`,
    )}</ol>
  </section>`;
});

export const Destinations = pure(function Destinations({ destinations, show }) {
  const rows = destinations?.destinations;
  if (!rows?.length) return null;
  return html`<section class="destinations" aria-label="Destinations">
    <h2>Destinations</h2>
    <table>
      <thead><tr><th>service</th><th>severity</th><th class="number">last minute</th><th class="number">last hour</th>
        <th class="number">24 hours</th><th>newest hour</th></tr></thead>
      <tbody>${rows.slice(0, MOST_ROWS).map(
        (row) => html`<tr key=${`${row.name}\n${row.severity}`}>
          <td><button class="link" onClick=${() => show({ name: row.name, severity: "" })}>${row.name}</button></td>
          <td><button class=${`link ${severityClass(row.severity)}`} onClick=${() => show({ name: row.name, severity: row.severity })}>${row.severity}</button></td>
          <td class="number">${count(row.last_minute)}</td>
          <td class="number">${count(row.last_hour)}</td>
          <td class="number">${count(row.last_day)}</td>
          <td>${row.hours.length ? moment(row.hours[0]) : "none"}</td>
        </tr>`,
      )}</tbody>
    </table>
    ${rows.length > MOST_ROWS && html`<p class="more">${count(MOST_ROWS)} of ${count(rows.length)} shown</p>`}
  </section>`;
});

export const Health = pure(function Health({ health }) {
  if (health?.pending === undefined) return null;
  const age = health.last_commit_age;
  const facts = [
    ["calls of this process", count(health.calls)],
    ["pending", count(health.pending)],
    ["counted", count(health.counted)],
    ["as <other>", count(health.other)],
    ["dropped", count(health.dropped)],
    ["connects", count(health.connects)],
    ["last commit", age === null ? "none yet" : `${rate(age)} s ago`],
  ];
  return html`<footer aria-label="Health"><dl>${facts.map(
    ([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`,
  )}</dl><p>Times are in UTC. Sparklines show 24 hours.</p></footer>`;
});
