"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const faces = data.faces;
const kept = `mien-decisions-${data.page}`; // what a reload must not lose
let decisions = new Map(); // index of the face -> {decision, label}
let past = []; // {index, before}
let here = 0;
let unsaved = false;
let handle = null;

function make(tag, text, className) {
  const one = document.createElement(tag);
  if (text !== undefined) one.textContent = text;
  if (className) one.className = className;
  return one;
}

function dot(colour) {
  const one = make("span", undefined, "dot");
  one.style.setProperty("background", colour);
  return one;
}

const colours = Object.fromEntries(data.labels.map((one) => [one.name, one.colour]));

function text() {
  const mine = new Set([...decisions.keys()].map((i) => `${faces[i].picture} ${faces[i].face}`));
  const earlier = data.before.filter((one) => !mine.has(`${one.picture} ${one.face}`));
  const now = [...decisions.entries()].sort((a, b) => a[0] - b[0]).map(([i, one]) => {
    const record = { picture: faces[i].picture, face: faces[i].face, decision: one.decision };
    return one.decision === "move" ? { ...record, label: one.label } : record;
  });
  const lines = [...earlier, ...now].map((one) => ` ${JSON.stringify(one)}`).join(",\n");
  return `{"mien": "decisions", "decisions": [\n${lines}\n]}\n`;
}

function remember() {
  try {
    localStorage.setItem(kept, JSON.stringify([...decisions]));
  } catch { /* a browser may refuse files a store: then only saving keeps them */ }
}

function recall() {
  try {
    decisions = new Map(JSON.parse(localStorage.getItem(kept) ?? "[]").filter(([i]) => i in faces));
    unsaved = decisions.size > 0;
  } catch { /* as above */ }
}

function say(words) {
  at("status").textContent = words;
}

function decide(decision, label) {
  if (!faces.length) return;
  past.push({ index: here, before: decisions.get(here) });
  decisions.set(here, { decision, label });
  changed();
  const left = faces.findIndex((_, i) => i > here && !decisions.has(i));
  const any = left >= 0 ? left : faces.findIndex((_, i) => !decisions.has(i));
  if (any < 0) say("All are decided: save the decisions.");
  show(any < 0 ? here : any);
}

function undo() {
  const last = past.pop();
  if (!last) return;
  if (last.before) decisions.set(last.index, last.before);
  else decisions.delete(last.index);
  changed();
  say("Undone.");
  show(last.index);
}

function changed() {
  unsaved = true;
  say("");
  remember();
  if (handle) write();
}

async function write() {
  const file = await handle.createWritable();
  await file.write(text());
  await file.close();
  unsaved = false;
  say(`Saved to ${handle.name}: each decision is written at once.`);
}

async function saveToFile() {
  try {
    handle = await window.showSaveFilePicker({
      suggestedName: "decisions.json",
      types: [{ description: "Decisions", accept: { "application/json": [".json"] } }],
    });
    await write();
  } catch (error) {
    handle = null;
    if (error.name !== "AbortError") say(`It could not be written (${error.message}): use “Save decisions”.`);
  }
}

function save() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text()], { type: "application/json" }));
  link.download = "decisions.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  unsaved = false;
  say(`${decisions.size} decisions were saved as decisions.json, where your browser puts downloads.`);
}

function marked(i) {
  const one = decisions.get(i);
  return one ? (one.decision === "move" ? one.label : { keep: "kept", drop: "dropped" }[one.decision]) : "";
}

function show(i) {
  here = Math.max(0, Math.min(faces.length - 1, i));
  const face = faces[here];
  at("face").src = face.image;
  at("face").alt = `Face ${here + 1} of ${faces.length}, labelled ${face.label}`;
  at("said").replaceChildren(
    dot(colours[face.label]), " labelled ", make("strong", face.label), "; the model would say ",
    dot(colours[face.other]), " ", make("strong", face.other));
  at("scores").replaceChildren(...Object.entries(face.scores).sort((a, b) => b[1] - a[1]).slice(0, 5).flatMap(
    ([name, score]) => {
      const track = make("dd", undefined, "track");
      const bar = make("div");
      bar.style.setProperty("width", `${100 * score}%`);
      bar.style.setProperty("background", colours[name]);
      track.append(bar);
      return [make("dt", name), track, make("dd", `${Math.round(100 * score)}%`, "much")];
    }));
  const said = [face.title, face.author && `by ${face.author}`, face.licence, face.query && `found by “${face.query}”`];
  const from = said.filter(Boolean).join(" · ") || face.file;
  at("from").replaceChildren(from);
  if (face.page) {
    const link = make("a", "its page");
    link.href = face.page;
    link.target = "_blank";
    link.rel = "noreferrer noopener";
    at("from").append(" · ", link);
  }
  const one = decisions.get(here);
  at("keep").setAttribute("aria-pressed", one?.decision === "keep");
  at("drop").setAttribute("aria-pressed", one?.decision === "drop");
  for (const button of at("labels").children) {
    button.setAttribute("aria-pressed", one?.decision === "move" && one.label === button.dataset.label);
    button.disabled = button.dataset.label === face.label;
  }
  [...at("all").children].forEach((button, k) => {
    const mark = marked(k);
    button.setAttribute("aria-current", k === here);
    button.className = mark === "dropped" ? "dropped" : "";
    button.lastChild.textContent = mark;
    button.lastChild.hidden = !mark;
    button.setAttribute("aria-label", `Face ${k + 1}, ${faces[k].label}${mark ? `, ${mark}` : ""}`);
  });
  at("all").children[here].scrollIntoView({ block: "nearest" });
  at("bar").value = decisions.size;
  at("bar").max = faces.length;
  at("count").textContent = `${decisions.size} of ${faces.length} decided`;
  at("undo").disabled = !past.length;
}

function start() {
  const more = data.found > faces.length ? ` The ${faces.length} most doubtful of ${data.found} are here.` : "";
  at("about").textContent = `Faces of which ${data.model} would say something else than their label.${more}`;
  if (!faces.length) {
    at("work").hidden = true;
    at("none").hidden = false;
    at("undo").disabled = true;
    at("count").textContent = "";
    return;
  }
  for (const label of data.labels) {
    const button = make("button");
    button.type = "button";
    button.dataset.label = label.name;
    button.append(...[label.digit, label.letter].filter(Boolean).map((key) => make("kbd", key)), dot(label.colour), label.name);
    button.addEventListener("click", () => decide("move", label.name));
    at("labels").append(button);
  }
  faces.forEach((face, i) => {
    const button = make("button");
    button.type = "button";
    const image = make("img");
    image.src = face.image;
    image.alt = "";
    image.loading = "lazy";
    button.append(image, make("span"));
    button.addEventListener("click", () => show(i));
    at("all").append(button);
  });
  recall();
  const first = faces.findIndex((_, i) => !decisions.has(i));
  show(first < 0 ? 0 : first);
  if (decisions.size) say("Decisions of an earlier visit are here: save them, if you have not.");
}

at("keep").addEventListener("click", () => decide("keep"));
at("drop").addEventListener("click", () => decide("drop"));
at("undo").addEventListener("click", undo);
at("back").addEventListener("click", () => show(here - 1));
at("on").addEventListener("click", () => show(here + 1));
at("save").addEventListener("click", save);
at("file").addEventListener("click", saveToFile);
at("file").hidden = !("showSaveFilePicker" in window);

document.addEventListener("keydown", (event) => {
  if (!faces.length || event.altKey || event.isComposing) return;
  const key = event.key.toLowerCase();
  if (event.ctrlKey || event.metaKey) {
    if (key !== "z" && key !== "s") return;
    event.preventDefault();
    if (key === "z") undo();
    else if (handle) write();
    else save();
    return;
  }
  if (event.repeat && !key.startsWith("arrow")) return; // a key that is held decides on one face, not on all
  const label = data.labels.find((one) => one.digit === key || one.letter === key);
  if (key === "k") decide("keep");
  else if (key === "d") decide("drop");
  else if (key === "u") undo();
  else if (key === "arrowleft" || key === "arrowup") show(here - 1);
  else if (key === "arrowright" || key === "arrowdown") show(here + 1);
  else if (label && label.name !== faces[here].label) decide("move", label.name);
  else return;
  event.preventDefault();
});

window.addEventListener("beforeunload", (event) => {
  if (unsaved) event.preventDefault();
});

start();
