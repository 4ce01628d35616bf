// One message, looked at closely.

import { html, useEffect, useRef } from "./vendor/htm-preact.js";
import { Series } from "./charts.js";
import { count, factor, moment, rate, severityClass, share } from "./format.js";

export function Message({ found, view, show }) {
  const dialog = useRef(null);
  useEffect(() => dialog.current.showModal(), []);
  const close = () => show({ message: "", in_name: "", in_severity: "" });
  // The document of the message before stays until that of this one is there.
  const isThis = found?.message === view.message && found.name === view.in_name && found.severity === view.in_severity?.toLowerCase();
  const known = isThis ? found : null;

  return html`<dialog ref=${dialog} onClose=${close} aria-label="Message"
      onClick=${(event) => event.target === dialog.current && dialog.current.close()}>
    <article>
      <div class="heading">
        <p><span class=${severityClass(view.in_severity)}>${view.in_severity}</span> <span class="name">${view.in_name}</span></p>
        <button onClick=${() => dialog.current.close()}>close</button>
      </div>
      <h2 class="text">${view.message}</h2>
      ${known ? html`<${Details} known=${known} />` : html`<p class="empty">Loading…</p>`}
    </article>
  </dialog>`;
}

function Details({ known }) {
  const { row, series, mute } = known;
  const facts = [
    ["first seen", known.first_seen ? `hour of ${moment(known.first_seen)}` : "never"],
    ["last seen", known.last_seen ? `hour of ${moment(known.last_seen)}` : "never"],
    ["in this hour", row ? `${count(row.count)}, ${share(row.share)} of the ${row.severity} calls of ${row.name}` : "not among the first"],
    ["rate", row && `${rate(row.per_minute)} a minute`],
    ["change", row?.change && (row.at_least > 1 ? `${row.change}, at least ${factor(row.at_least)}` : row.change)],
    ["muted", mute && (mute.until ? `until ${moment(mute.until)} UTC` : "for ever")],
    ["muted until it rises", mute?.until_rises && factor(mute.until_rises)],
  ];
  return html`
    ${series.length > 0 && html`<${Series} series=${series} />`}
    <dl>${facts.filter(([, value]) => value).map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    ${row?.example && html`<h3>For example</h3><p class="text">${row.example}</p>`}
    ${known.merged.length > 0 && html`<h3>Merged from</h3><${Merged} rows=${known.merged} />`}
    <h3>On the command line</h3>
    <p class="text">logcommon mute ${quoted(known.message)} --for 2d</p>`;
}

function Merged({ rows }) {
  return html`<table class="merged"><tbody>${rows.slice(0, 50).map(
    (each) => html`<tr key=${each.message}><td class="number">${count(each.count)}</td><td class="text">${each.message}</td></tr>`,
  )}</tbody></table>${rows.length > 50 && html`<p class="more">50 of ${count(rows.length)} shown</p>`}`;
}

// As a shell takes it.
function quoted(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
