// What the console adds where JavaScript runs: lists that go on where they are, and pages that renew themselves. Without
// it each list has a next page, and each page says when it was made.
"use strict";

// htmx adds the next rows to a table; the first of them takes the focus that its link had.
(() => {
  let rows = 0;
  const on = (name, act) => document.addEventListener(`htmx:${name}`, (event) => act(event.detail));
  on("beforeSwap", ({target}) => { rows = target.rows?.length ?? 0; });
  on("afterSettle", ({target}) => target.rows?.[rows]?.querySelector("a, summary, button")?.focus());
  for (const failure of ["responseError", "sendError"]) on(failure, ({elt}) => location.assign(elt.href));
})();

(() => {
  const main = document.querySelector("main[data-live]");
  if (!main) return;
  const connection = document.getElementById("connection");
  const asOf = document.getElementById("as-of");
  const RETRY_MS = [1000, 2000, 5000, 10000];
  let source = null, last = "", failures = 0, timer = 0;

  const say = (words) => { if (connection.textContent !== words) connection.textContent = words; };

  // Focus stays: of what is there now, the element of the same name and attributes takes it. Its text may be another.
  const replace = (place, html) => {
    const focused = place.contains(document.activeElement) ? document.activeElement.cloneNode() : null;
    place.innerHTML = html;
    if (!focused) return;
    const same = [...place.querySelectorAll(focused.localName)].find((one) => one.cloneNode().isEqualNode(focused));
    same?.focus({preventScroll: true});
  };

  // What is being pressed stays until the press has ended: a link that is replaced under it is not followed.
  const held = new Map();
  const put = (place, html) => {
    if (place.matches(":active")) { held.set(place, html); return; }
    held.delete(place);
    if (place.innerHTML !== html) replace(place, html);
  };
  const release = () => setTimeout(() => { for (const [place, html] of [...held]) put(place, html); });
  addEventListener("pointerup", release);
  addEventListener("pointercancel", release);

  const renew = (event) => {
    last = event.lastEventId;
    const news = JSON.parse(event.data);
    for (const place of main.querySelectorAll("[data-part]")) {
      const html = news.parts[place.dataset.part];
      if (html !== undefined) put(place, html);
    }
    if (!news.failed) asOf.innerHTML = news.made;
    say(news.failed ? "not up to date: the database does not answer" : "live");
  };

  const open = () => {
    clearTimeout(timer);
    if (source || document.hidden) return;
    const address = `/console/live/${main.dataset.live}${last ? `?last=${encodeURIComponent(last)}` : ""}`;
    source = new EventSource(address);
    source.addEventListener("open", () => { failures = 0; });
    source.addEventListener("parts", renew);
    source.addEventListener("closed", () => { close(); say("signed out"); main.removeAttribute("data-live"); });
    source.addEventListener("error", () => {
      close();
      say("reconnecting");
      timer = setTimeout(open, RETRY_MS[Math.min(failures++, RETRY_MS.length - 1)]);
    });
  };

  const close = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  document.addEventListener("visibilitychange", () => {
    if (!main.dataset.live) return;
    if (document.hidden) { close(); say("paused"); } else open();
  });
  addEventListener("pagehide", close);
  addEventListener("pageshow", () => { if (main.dataset.live) open(); });
  open();
})();
