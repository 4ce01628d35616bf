// The documents of a view as they change, over one connection that is made again when it is cut.

import { query } from "./format.js";

const STALE_AFTER = 6000; // milliseconds; the server says every two seconds that it is alive
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 10000;
const NAMES = ["summary", "recent", "health", "changes", "activity", "destinations", "message"];

// Calls `onDocument(name, document)` for each document, and `onState(isLive)` when that changes.
// Returns a function that ends it.
export function follow(view, onDocument, onState) {
  let source = null;
  let pause = FIRST_PAUSE;
  let retry = 0;
  let lastHeard = Date.now();
  let isLive = null;

  const say = (state) => {
    if (state !== isLive) onState((isLive = state));
  };
  const heard = () => {
    lastHeard = Date.now();
    pause = FIRST_PAUSE;
    say(true);
  };

  // Not left to EventSource itself: it gives up for good if a proxy answers with an error.
  const connect = () => {
    source = new EventSource(`api/stream${query(view)}`);
    for (const name of NAMES) {
      source.addEventListener(name, (event) => {
        heard();
        onDocument(name, JSON.parse(event.data));
      });
    }
    source.addEventListener("alive", heard);
    source.addEventListener("error", again);
  };
  const again = () => {
    source.close();
    say(false);
    clearTimeout(retry);
    retry = setTimeout(connect, pause);
    pause = Math.min(pause * 2, LONGEST_PAUSE);
  };
  const watchdog = setInterval(() => {
    if (Date.now() - lastHeard > STALE_AFTER) {
      lastHeard = Date.now();
      again();
    }
  }, 1000);

  connect();
  return () => {
    clearInterval(watchdog);
    clearTimeout(retry);
    source.close();
  };
}
