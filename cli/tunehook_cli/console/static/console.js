// Writes every moment in the reader's zone; the exact one stays in the title. Nothing else happens here.
"use strict";
(() => {
  const two = (number) => String(number).padStart(2, "0");
  // As wide as what the server wrote, so that nothing moves.
  const shown = (at) =>
    `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[datetime]:not([data-local])")) {
      const moment = new Date(time.dateTime);
      if (Number.isNaN(moment.getTime())) continue;
      time.textContent = shown(moment);
      time.dataset.local = "";
    }
  };
  localise(document);
  new MutationObserver((changes) => {
    if (changes.some((each) => each.addedNodes.length)) localise(document);
  }).observe(document.body, { childList: true, subtree: true });
})();
