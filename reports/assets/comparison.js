"use strict";
(() => {
  const sounds = Array.from(document.querySelectorAll("audio"));
  for (const figure of document.querySelectorAll(".sound")) {
    const sound = figure.querySelector("audio");
    const picture = figure.querySelector(".picture");
    if (!sound) continue;
    // One at a time: starting one side stops the other.
    sound.addEventListener("play", () => {
      for (const other of sounds) if (other !== sound) other.pause();
    });
    if (!picture) continue;
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
