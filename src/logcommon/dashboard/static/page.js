// The page: a view, which is in the address, and the newest documents for it.

import { html, render, useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { SEVERITIES, hourText, query, readView } from "./format.js";
import { follow } from "./stream.js";
import { Changes, Common, Destinations, Health, Now, Recent } from "./parts.js";
import { Message } from "./message.js";

const TYPING = 300; // milliseconds after the last key until what was typed is searched for

function Page() {
  const [view, setView] = useState(() => readView(location.search));
  const [documents, setDocuments] = useState({});
  const [isLive, setLive] = useState(null);

  useEffect(() => {
    const restore = () => setView(readView(location.search));
    addEventListener("popstate", restore);
    return () => removeEventListener("popstate", restore);
  }, []);

  // Documents of another view stay until the new ones are there, so that nothing jumps.
  useEffect(() => {
    const known = (name, document) => setDocuments((all) => ({ ...all, [name]: merged(all[name], document) }));
    return follow(view, known, setLive);
  }, [query(view)]);

  const show = useCallback((changes) => {
    setView((before) => {
      const view = { ...before, ...changes };
      if (query(view) !== query(before)) history.pushState(null, "", query(view) || location.pathname);
      return view;
    });
  }, []);

  const { summary, recent, changes, activity, destinations, health, message } = documents;
  return html`
    <${Header} view=${view} show=${show} destinations=${destinations} isLive=${isLive} />
    <${Trouble} documents=${documents} isLive=${isLive} />
    <main>
      <${Now} activity=${activity} view=${view} show=${show} />
      <div class="columns">
        <${Common} summary=${summary} view=${view} show=${show} />
        <div class="side">
          <${Changes} changes=${changes} view=${view} show=${show} />
          <${Recent} recent=${recent} view=${view} />
        </div>
      </div>
      <${Destinations} destinations=${destinations} show=${show} />
    </main>
    <${Health} health=${health} />
    ${view.message && html`<${Message} found=${message} view=${view} show=${show} />`}
  `;
}

// A document that could not be read leaves the last one on the page.
function merged(before, document) {
  return document.trouble ? { ...before, trouble: document.trouble } : document;
}

function Header({ view, show, destinations, isLive }) {
  const held = destinations?.destinations ?? [];
  const names = unique(held.map((each) => each.name), view.name).sort();
  const severities = unique([...SEVERITIES, ...held.map((each) => each.severity)], view.severity);
  const hours = unique(destinations?.hours ?? [], view.hour);
  const state = isLive === null ? "connecting" : isLive ? "live" : "stale";
  const text = { connecting: "connecting…", live: "live", stale: "connection lost, trying again…" }[state];
  return html`<header>
    <h1><a href="./">logcommon</a></h1>
    <form onSubmit=${(event) => event.preventDefault()}>
      <${Choice} label="service" all="all services" value=${view.name} values=${names}
        choose=${(name) => show({ name })} />
      <${Choice} label="severity" all="all severities" value=${view.severity} values=${severities}
        choose=${(severity) => show({ severity })} />
      <${Choice} label="hour" all="newest hour" value=${view.hour} values=${hours} text=${hourText}
        choose=${(hour) => show({ hour })} />
      <${Search} value=${view.text ?? ""} search=${(text) => show({ text })} />
    </form>
    <p class=${`state ${state}`} role="status">${text}</p>
  </header>`;
}

function Choice({ label, all, value, values, choose, text = String }) {
  return html`<select aria-label=${label} value=${value ?? ""} onChange=${(event) => choose(event.target.value)}>
    <option value="">${all}</option>
    ${values.map((each) => html`<option key=${each} value=${each} selected=${each === value}>${text(each)}</option>`)}
  </select>`;
}

function Search({ value, search }) {
  const [typed, setTyped] = useState(value);
  const field = useRef(null);
  const waiting = useRef(0);
  useEffect(() => setTyped(value), [value]);
  useEffect(() => {
    const focus = (event) => {
      if (event.key !== "/" || /INPUT|SELECT|TEXTAREA/.test(event.target.tagName)) return;
      event.preventDefault();
      field.current.focus();
    };
    addEventListener("keydown", focus);
    return () => removeEventListener("keydown", focus);
  }, []);

  const type = (event) => {
    const text = event.target.value;
    setTyped(text);
    clearTimeout(waiting.current);
    waiting.current = setTimeout(() => search(text), TYPING);
  };
  return html`<input type="search" ref=${field} value=${typed} onInput=${type} aria-label="text in messages"
    placeholder="text in messages  ( / )" />`;
}

function Trouble({ documents, isLive }) {
  const troubles = unique(Object.values(documents).map((each) => each.trouble).filter(Boolean));
  const since = Object.values(documents).map((each) => each.at).sort().at(-1);
  if (!troubles.length && isLive !== false) return null;
  const what = troubles.length ? troubles.join("; ") : "The page has lost its connection and is trying again";
  const known = since ? `. What is shown is from ${since.slice(11, 19)} UTC.` : ".";
  return html`<p class="trouble" role="alert">${what}${known}</p>`;
}

function unique(values, also) {
  return [...new Set(also ? [also, ...values] : values)];
}

const root = document.getElementById("page");
root.textContent = "";
render(html`<${Page} />`, root);
