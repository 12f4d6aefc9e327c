// What every page may use: copy buttons, the colour switch, a menu that closes. Pages work without it.
"use strict";

document.documentElement.classList.add("js");

function announce(text) {
  const place = document.getElementById("announcer");
  if (place) place.textContent = text;
}

async function copy(button) {
  const block = button.closest(".code").querySelector("pre");
  const word = button.querySelector("[data-copy-word]");
  const texts = document.getElementById("ui-texts").dataset;
  try {
    await navigator.clipboard.writeText(block.textContent);
    word.textContent = texts.copied;
    announce(texts.copied);
  } catch {
    // No permission, or no secure context: leave the text selected, so that one key copies it.
    const range = document.createRange();
    range.selectNodeContents(block);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    word.textContent = texts.selected;
    announce(texts.selected);
  }
  setTimeout(() => { word.textContent = texts.copy; }, 2000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (button) copy(button);
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// Fields that matter only for one answer of a question are folded away; without scripts all are shown.
function unfold(root) {
  for (const part of root.querySelectorAll("[data-shown-by]")) {
    const [name, ...values] = part.dataset.shownBy.split(" ");
    const form = part.closest("form");
    const chosen = form.querySelector(`[name="${name}"]:checked`) || form.querySelector(`select[name="${name}"]`);
    part.hidden = !chosen || !values.includes(chosen.value);
  }
}

document.addEventListener("change", (event) => {
  if (event.target.form) unfold(event.target.form);
});
document.addEventListener("DOMContentLoaded", () => unfold(document));
document.addEventListener("htmx:load", (event) => unfold(event.target));

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-print]")) window.print();
});
