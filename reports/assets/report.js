"use strict";
(() => {
  const table = document.getElementById("utterances");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const collator = new Intl.Collator(undefined, { numeric: true });

  // A click sorts, worst values first; a second click turns the order round. Missing values stay last.
  const sortBy = (header) => {
    const first = header.dataset.first || "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    const order = header.getAttribute("aria-sort") === first ? other : first;
    const sign = order === "ascending" ? 1 : -1;
    const numeric = "number" in header.dataset;
    const keyed = rows.map((row) => {
      const cell = row.cells[header.cellIndex];
      const key = numeric ? cell.dataset.v : cell.textContent.trim();
      return { row, key: numeric && key !== "" ? Number(key) : key };
    });
    keyed.sort((a, b) => {
      if (a.key === "" || b.key === "") return (a.key === "") - (b.key === "");
      return sign * (numeric ? a.key - b.key : collator.compare(a.key, b.key));
    });
    for (const cell of header.parentNode.cells) if (cell.hasAttribute("aria-sort")) cell.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", order);
    body.append(...keyed.map((entry) => entry.row));
  };
  for (const button of table.tHead.querySelectorAll("button")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  // Every word of the filter must stand somewhere in the row.
  let texts = null;
  document.getElementById("filter").addEventListener("input", (event) => {
    texts ??= rows.map((row) => row.textContent.toLowerCase());
    const words = event.target.value.toLowerCase().split(/\s+/);
    let shown = 0;
    rows.forEach((row, i) => {
      row.hidden = !words.every((word) => texts[i].includes(word));
      shown += !row.hidden;
    });
    document.getElementById("count").textContent = `${shown} of ${rows.length}`;
  });

  // The table's audio lies beside the page; one player serves every row.
  const player = document.getElementById("player");
  const audio = player.querySelector("audio");
  const playing = document.getElementById("playing");
  body.addEventListener("click", (event) => {
    const link = event.target.closest("a.play");
    if (!link) return;
    event.preventDefault();
    player.hidden = false;
    playing.textContent = link.closest("tr").cells[0].textContent;
    audio.src = link.href;
    audio.play().catch(() => {});
  });
  audio.addEventListener("error", () => {
    playing.textContent += ": not found; keep this page in its run folder";
  });
  document.getElementById("stop").addEventListener("click", () => {
    audio.pause();
    player.hidden = true;
  });

  // A line follows the sound over its spectrogram; a click there jumps.
  for (const figure of document.querySelectorAll(".sound")) {
    const sound = figure.querySelector("audio");
    const picture = figure.querySelector(".picture");
    if (!sound || !picture) continue;
    const head = picture.querySelector(".playhead");
    const follow = () => {
      head.style.left = `${(100 * sound.currentTime) / sound.duration}%`;
      head.style.opacity = 1;
      if (!sound.paused) requestAnimationFrame(follow);
    };
    sound.addEventListener("play", follow);
    sound.addEventListener("seeked", follow);
    picture.addEventListener("click", (event) => {
      const box = picture.getBoundingClientRect();
      sound.currentTime = (sound.duration * (event.clientX - box.left)) / box.width;
    });
  }
})();
