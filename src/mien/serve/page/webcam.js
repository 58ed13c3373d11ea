// Runs when the tab's markup is there; `element` is its root, `COLOURS` the colours of the emotions.
const find = (selector) => element.querySelector(selector);
const video = find("video"), canvas = find("canvas"), view = find(".mien-view"), cards = find(".mien-cards");
const start = find(".mien-start"), stop = find(".mien-stop"), words = find(".mien-words"), rate = find(".mien-rate");
const cameraLabel = find(".mien-camera"), cameras = find(".mien-camera select");
const WIDTH = 640; // of the frames that are sent: enough for faces at arm's length and across a table
const PATIENCE = 3000; // milliseconds without an answer after which the next frame is sent anyway
const small = document.createElement("canvas");

let media = null, socket = null, waiting = false, sentAt = 0, answers = [], spokenAt = 0, spoken = "", run = 0;

const percent = (share, places = 1) => (100 * share).toFixed(places) + "%";

function say(text, problem = false) {
  words.textContent = text;
  words.classList.toggle("mien-problem", problem);
}

function address() {
  const url = new URL("v1/live", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  const { emotions, model } = window.mienChoice || {};
  if (emotions && emotions !== "all") url.searchParams.set("emotions", emotions);
  if (model) url.searchParams.set("model", model);
  return url;
}

async function begin() {
  const mine = ++run;
  start.disabled = true;
  if (!navigator.mediaDevices?.getUserMedia) {
    end("The browser gives the camera only to pages opened over https, or on this computer itself.", true);
    return;
  }
  say("Waiting for the camera…");
  try {
    const wanted = cameras.value ? { deviceId: { exact: cameras.value } } : { facingMode: "user" };
    const got = await navigator.mediaDevices.getUserMedia({
      audio: false, video: { ...wanted, width: { ideal: WIDTH }, height: { ideal: 480 } },
    });
    if (mine !== run) {
      got.getTracks().forEach((track) => track.stop());
      return;
    }
    media = got;
  } catch (error) {
    const why = {
      NotAllowedError: "The browser does not allow this page to use the camera.",
      NotFoundError: "No camera was found.",
      NotReadableError: "The camera is in use by another program.",
    };
    if (mine === run) end(why[error.name] || "The camera could not be started.", true);
    return;
  }
  media.getVideoTracks()[0].addEventListener("ended", () => { if (mine === run) end("The camera was taken away.", true); });
  video.srcObject = media;
  await video.play().catch(() => {});
  if (mine !== run) return;
  view.hidden = false;
  stop.disabled = false;
  stop.focus();
  say("The camera is on: frames are analysed on the server and not stored.");
  listCameras();
  connect(mine);
}

function connect(mine) {
  const own = new WebSocket(address());
  socket = own;
  waiting = false;
  own.addEventListener("open", () => tick(mine, own));
  own.addEventListener("message", (event) => {
    if (own !== socket) return;
    waiting = false;
    const record = JSON.parse(event.data);
    if (record.faces) show(record);
    else if (record.error) say(record.error, true);
  });
  own.addEventListener("close", (event) => {
    if (own !== socket || mine !== run) return;
    end(event.reason ? `The server ended the connection: ${event.reason}.` : "The connection to the server ended.", true);
  });
}

// One frame at a time: the next is taken when the answer to the last is there, so none waits and grows old.
async function tick(mine, own) {
  while (mine === run && own === socket && own.readyState === WebSocket.OPEN) {
    const idle = document.hidden || !element.offsetParent; // another browser tab, or another tab of the page
    if (idle || (waiting && performance.now() - sentAt < PATIENCE) || !video.videoWidth) {
      await new Promise((resolve) => setTimeout(resolve, idle ? 200 : 4));
      continue;
    }
    const scale = Math.min(1, WIDTH / video.videoWidth);
    small.width = Math.round(video.videoWidth * scale);
    small.height = Math.round(video.videoHeight * scale);
    small.getContext("2d").drawImage(video, 0, 0, small.width, small.height);
    const blob = await new Promise((resolve) => small.toBlob(resolve, "image/jpeg", 0.85));
    if (!blob || own !== socket || own.readyState !== WebSocket.OPEN) continue;
    waiting = true;
    sentAt = performance.now();
    own.send(blob);
  }
}

function show(record) {
  const now = performance.now();
  answers = answers.filter((time) => now - time < 2000);
  answers.push(now);
  const span = (now - answers[0]) / 1000;
  rate.textContent = span > 0.5 ? `${((answers.length - 1) / span).toFixed(0)} results a second` : "";
  element.dataset.answers = Number(element.dataset.answers || 0) + 1;
  draw(record);
  list(record.faces);
  const text = record.faces.length
    ? record.faces.map((face, i) => `Face ${face.track ?? i + 1}: ${face.emotion}, ${percent(face.confidence, 0)}`).join(". ")
    : "Nobody is in the picture.";
  if (text !== spoken && now - spokenAt > 3000) { // a screen reader should be able to finish
    spoken = text;
    spokenAt = now;
    say(text);
  }
}

function draw(record) {
  const ratio = window.devicePixelRatio || 1;
  const width = Math.round(view.clientWidth * ratio), height = Math.round(view.clientHeight * ratio);
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  context.font = `600 ${Math.round(15 * ratio)}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const across = width / record.width, down = height / record.height;
  for (const face of record.faces) {
    const [x1, y1, x2, y2] = face.box;
    const left = width - x2 * across, top = y1 * down; // the view is a mirror
    const colour = COLOURS[face.emotion];
    context.lineWidth = 5 * ratio;
    context.strokeStyle = "rgb(24 24 27)";
    context.strokeRect(left, top, (x2 - x1) * across, (y2 - y1) * down);
    context.lineWidth = 3 * ratio;
    context.strokeStyle = colour;
    context.strokeRect(left, top, (x2 - x1) * across, (y2 - y1) * down);
    const label = `${face.track === null ? "" : `#${face.track} `}${face.emotion} ${percent(face.confidence, 0)}`;
    const wide = context.measureText(label).width + 14 * ratio, high = 24 * ratio;
    const x = Math.max(0, Math.min(left, width - wide)), y = top > high ? top - high : top;
    context.fillStyle = "rgb(24 24 27 / 0.85)";
    context.fillRect(x, y, wide, high);
    context.fillStyle = colour;
    context.fillRect(x, y, 4 * ratio, high);
    context.fillStyle = "white";
    context.fillText(label, x + 9 * ratio, y + high / 2);
  }
}

// Rows are made once and then changed: nothing jumps.
function list(faces) {
  while (cards.children.length > Math.min(faces.length, 6)) cards.lastChild.remove();
  faces.slice(0, 6).forEach((face, i) => {
    const scores = Object.entries(face.smoothed || face.scores);
    const names = scores.map(([name]) => name).join();
    let card = cards.children[i];
    if (!card || card.dataset.names !== names) {
      const made = document.createElement("article");
      made.className = "mien-card";
      made.dataset.names = names;
      const title = document.createElement("h2"), table = document.createElement("table");
      table.className = "mien-bars";
      table.createCaption().className = "mien-hidden";
      for (const [name] of scores) {
        const row = table.insertRow(), head = document.createElement("th"), trough = document.createElement("td");
        head.scope = "row";
        head.textContent = name;
        trough.className = "mien-trough";
        const bar = document.createElement("span"), number = document.createElement("td");
        bar.style.background = COLOURS[name];
        number.className = "mien-number";
        trough.append(bar);
        row.append(head, trough, number);
      }
      made.append(title, table);
      if (card) card.replaceWith(made);
      else cards.append(made);
      card = made;
    }
    const title = `Face ${face.track ?? i + 1}`;
    card.querySelector("h2").textContent = title;
    card.querySelector("caption").textContent = `Probabilities of ${title.toLowerCase()}`;
    [...card.querySelectorAll("tr")].forEach((row, j) => {
      row.classList.toggle("mien-top", scores[j][0] === face.emotion);
      row.querySelector("span").style.width = `${100 * scores[j][1]}%`;
      row.lastChild.textContent = percent(scores[j][1]);
    });
  });
}

function end(text, problem = false) {
  run++;
  const own = socket;
  socket = null;
  own?.close();
  media?.getTracks().forEach((track) => track.stop());
  media = null;
  video.srcObject = null;
  view.hidden = true;
  cards.replaceChildren();
  rate.textContent = "";
  answers = [];
  spoken = "";
  start.disabled = false;
  stop.disabled = true;
  say(text, problem);
}

async function listCameras() {
  const found = (await navigator.mediaDevices.enumerateDevices()).filter((device) => device.kind === "videoinput");
  const current = media?.getVideoTracks()[0]?.getSettings().deviceId;
  cameras.replaceChildren(...found.map((device, i) => new Option(device.label || `Camera ${i + 1}`, device.deviceId)));
  if (current) cameras.value = current;
  cameraLabel.hidden = found.length < 2;
}

start.addEventListener("click", begin);
stop.addEventListener("click", () => { end("The camera is off."); start.focus(); });
cameras.addEventListener("change", () => { end("Changing the camera…"); begin(); });
window.addEventListener("mien-choice", () => {
  if (!socket) return;
  const old = socket;
  connect(run);
  old.close();
});
window.addEventListener("pagehide", () => { if (media) end("The camera is off."); });
