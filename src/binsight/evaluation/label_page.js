"use strict";
const cards = [...document.querySelectorAll("[data-path]")];
const shown = cards.filter((card) => card.querySelector("select"));
const status = document.querySelector("#status");
let saved = true;

function decision(card) {
  const choice = card.querySelector("select");
  return choice ? choice.value : card.dataset.decision;
}

function refresh() {
  for (const card of shown) {
    for (const button of card.querySelectorAll("button"))
      button.setAttribute("aria-pressed", String(button.value === decision(card)));
    card.classList.toggle("decided", decision(card) !== "");
  }
  const done = shown.filter((card) => decision(card) !== "").length;
  status.textContent = `${done} of ${shown.length} decided${saved ? "" : ", not saved yet"}`;
}

function quoted(text) {
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv() {
  const rows = cards.map((card) => {
    const data = card.dataset;
    return [data.path, data.label, data.suggested, data.score, decision(card)];
  });
  return [["path", "label", "suggested", "score", "decision"], ...rows]
    .map((row) => row.map(quoted).join(",") + "\n")
    .join("");
}

function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "corrections.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved = true;
  refresh();
}

for (const card of shown) {
  const choice = card.querySelector("select");
  choice.addEventListener("change", () => {
    saved = false;
    refresh();
  });
  for (const button of card.querySelectorAll("button"))
    button.addEventListener("click", () => {
      choice.value = choice.value === button.value ? "" : button.value;
      saved = false;
      refresh();
    });
}
document.querySelector("#save").addEventListener("click", save);
addEventListener("beforeunload", (event) => {
  if (!saved) event.preventDefault();
});
refresh();
