// Writes every moment in the reader's zone; the exact one stays in the title. Nothing else happens here.
"use strict";
(() => {
  const shown = new Intl.DateTimeFormat(undefined, {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.textContent = shown.format(moment);
      time.dataset.local = "";
    }
  };
  localise(document);
  new MutationObserver((changes) => {
    if (changes.some((each) => each.addedNodes.length)) localise(document);
  }).observe(document.body, { childList: true, subtree: true });
})();
