/* global TokenSocket */
import { $, draftItem, element, lineItem, personItem, roomItem, userLabel } from "./elements.js";

/** Who is in it is online. */
const ONLINE_CHANNEL = "online";

/** How often the connection is tried out, so that one that has died in silence is noticed, in milliseconds. */
const PING_INTERVAL = 20_000;

/** How long a notice stays, in milliseconds. */
const NOTICE_TIME = 6_000;

/** How long somebody counts as typing after the last letter, in milliseconds. */
const TYPING_TIME = 3_000;

/** How many lines of a room are loaded at once. */
const PAGE = 50;

/** The connection, from the first login on. */
let socket;
let users = [];
let me;
/** The rooms by channel; each with its lines, which are messages by position, and places where some are lost. */
let rooms = new Map();
let current;
/** What was written here and has not come back from the server yet, by key. */
const drafts = new Map();
/** Who is online. */
let online;
let typingTimer;
let noticeTimer;

// ---- The connection ---------------------------------------------------------------------------------------

/** Connects at once. From then on the client comes back by itself, and joins its channels again. */
function connect() {
  socket = new TokenSocket({ ping: PING_INTERVAL }, { nudge: askForAnswer });

  socket.on("state", (state, previous) => {
    // the server gives no token to whoever is not logged in any more
    if (state === "closed") return showLogin("Your session has ended. Please log in again.");
    // an attempt to come back is nothing new to the user
    if (state === "connecting" && previous === "waiting") return;
    showState(state);
    if (state === "open") join();
  });

  // after a reconnect the messages that were missed come first
  socket.onmessage((channel, message, info) => {
    if (rooms.has(channel)) addMessage(rooms.get(channel), message, info);
    else if (message.nudged) showNudged(message.nudged);
  });

  socket.on("recovered", (channel, { messages }) => {
    if (rooms.has(channel)) rooms.get(channel).recovered = messages;
  });

  // what could not be recovered
  socket.on("lost", (channel, loss) => {
    if (rooms.has(channel)) addGap(rooms.get(channel), loss);
  });

  socket.on("unsubscribed", (_channel, error) => {
    // the user may do less than before, or has become somebody else in another window
    if (error) location.reload();
  });
}

/** Joins what is not joined yet; the client comes back to its channels by itself, and gets what it has missed. */
async function join() {
  const joined = socket.channels();
  const open = [...rooms.values()].filter((room) => room.open && !joined.includes(room.channel));
  const others = [ONLINE_CHANNEL, `user:${me.name}`].filter((channel) => !joined.includes(channel));
  try {
    const joining = [
      ...others.map((channel) => socket.subscribe(channel)),
      ...open.map((room) => joinRoom(room)),
    ];
    // behind its join, which it takes
    observeOnline();
    await Promise.all(joining);
  } catch (error) {
    // that the connection is lost again, the page shows already
    if (socket.state === "open") notify(error.message);
  }
}

function showState(state) {
  const wasLost = !$("lost").hidden;
  $("status").dataset.state = state;
  $("status").textContent = { connecting: "Connecting…", open: "Connected", waiting: "Offline" }[state];
  $("lost").hidden = state !== "waiting";
  if (wasLost && state === "open") notify("Connected again.", "good");
}

// while the client waits, this is an attempt at once
$("retry").addEventListener("click", () => socket.reauthenticate());

// ---- Logging in -------------------------------------------------------------------------------------------

async function start() {
  const session = await api("/session");
  users = session.users;
  if (session.user) await enter(session.user);
  else showLogin();
}

function showLogin(notice = "") {
  $("users").replaceChildren(...users.map(userLabel));
  const inputs = [...$("users").querySelectorAll("input")];
  const chosen = inputs.find((input) => input.value === me?.name) ?? inputs[0];
  if (chosen) chosen.checked = true;
  showLoginNotice(notice);
  $("chat").hidden = true;
  $("login").hidden = false;
}

function showLoginNotice(text) {
  $("login-notice").textContent = text;
  $("login-notice").hidden = !text;
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { user } = await api("/login", { name: new FormData(event.target).get("name") });
    await enter(user);
  } catch (error) {
    showLoginNotice(error.message);
  }
});

$("logout").addEventListener("click", async () => {
  try {
    await api("/logout", {});
    // nothing of the user is to stay in the page
    location.reload();
  } catch (error) {
    notify(error.message);
  }
});

async function enter(user) {
  // the handler that is called as "rooms.list" over the socket
  const list = (await api("/api/rooms")).rooms;
  if (user.name !== me?.name) forget();
  me = user;
  rooms = new Map(
    list.map((room) => [room.channel, { lines: new Map(), unread: 0, ...rooms.get(room.channel), ...room }]),
  );
  if (!rooms.get(current)?.open) current = list[0].channel;
  $("me-name").textContent = me.name;
  $("me-role").textContent = me.role;
  $("login").hidden = true;
  $("chat").hidden = false;
  $("people-details").open = matchMedia("(min-width: 48rem)").matches;
  renderRooms();
  renderRoom();
  // the client that was refused comes in with the new identity
  if (socket) await socket.reauthenticate();
  else connect();
}

async function api(path, body) {
  const response = await fetch(path, {
    cache: "no-store",
    ...(body && {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    }),
  });
  const result = await response.json();
  if (!response.ok) throw new Error(result.error);
  return result;
}

// ---- Rooms and messages -----------------------------------------------------------------------------------

/** Joins a room: from where the user has left it, if this page knows that, or with its last lines. */
async function joinRoom(room, options) {
  await socket.subscribe(room.channel, { since: room.at, ...options });
  if (!room.isLoaded) await loadOlder(room);
}

/** Reads the lines before those that are there. */
async function loadOlder(room) {
  const { messages, before } = await socket.history(room.channel, { last: PAGE, before: room.before });
  const older = messages.map(({ message, at, time }) => [at, makeLine(message, time)]);
  room.lines = new Map([...older, ...room.lines]);
  // there is none where nothing is older
  room.before = before;
  room.isLoaded = true;
  if (room.channel === current) renderLines();
}

$("older").addEventListener("click", () => {
  loadOlder(rooms.get(current)).catch((error) => notify(error.message));
});

function addMessage(room, message, info) {
  const line = makeLine(message, info?.time);
  const key = info?.at ?? newKey();
  room.at = socket.position(room.channel);
  room.recovered = 0;
  if (room.lines.has(key)) return;
  const previous = [...room.lines.values()].at(-1);
  room.lines.set(key, line);
  if (drafts.delete(line.key)) renderDrafts();
  if (room.channel !== current) {
    room.unread += 1;
    renderRooms();
  } else if (!previous) renderLines();
  // just that one, so that a screen reader reads no other
  else $("messages").append(lineItem(line, previous));
}

/** Marks the place of messages that are lost: before those that were recovered just now, if there are any. */
function addGap(room, lost) {
  const lines = [...room.lines];
  lines.splice(lines.length - (room.recovered ?? 0), 0, [newKey(), { lost }]);
  room.lines = new Map(lines);
  room.at = socket.position(room.channel);
  room.recovered = 0;
  if (room.channel === current) renderLines();
}

/** Another program may publish any JSON in Redis itself; that is not kept, and says no time. */
function makeLine(message, time = Date.now()) {
  return { time, ...(message?.text ? message : { text: String(message) }) };
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
  setTyping(false);
  send({ channel: current, text, key: newKey() });
});

/** The message waits for the connection, if there is none. When it comes back, it is known by its key. */
async function send({ channel, text, key }) {
  const draft = { channel, text, key };
  drafts.set(key, draft);
  renderDrafts();
  try {
    await socket.publish(channel, { text, key });
  } catch (error) {
    draft.error = error;
    renderDrafts();
  }
}

/** A key that no other message has, here or elsewhere. */
function newKey() {
  // `randomUUID` is for pages over HTTPS only
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

async function choose(room) {
  if (!room.open) {
    try {
      await joinRoom(room, { queue: false });
    } catch (error) {
      return notify(error.message);
    }
  }
  current = room.channel;
  room.unread = 0;
  renderRooms();
  renderRoom();
}

function renderRooms() {
  $("rooms").replaceChildren(
    ...[...rooms.values()].map((room) => roomItem(room, room.channel === current, () => choose(room))),
  );
}

function renderRoom() {
  const { name, about } = rooms.get(current);
  $("room-name").textContent = name;
  $("room-about").textContent = about;
  $("room-json").href = `/api/rooms/${name}/messages`;
  $("text").placeholder = `Write to ${name}`;
  renderLines();
  renderDrafts();
  $("log").scrollTop = 0; // its end
}

function renderLines() {
  const room = rooms.get(current);
  const lines = [...room.lines.values()];
  $("messages").replaceChildren(...lines.map((line, index) => lineItem(line, lines[index - 1])));
  if (lines.length === 0) {
    $("messages").append(element("li", { className: "empty", textContent: "Nobody has said anything yet." }));
  }
  $("older").hidden = !room.before;
}

function renderDrafts() {
  const here = [...drafts.values()].filter(({ channel }) => channel === current);
  $("drafts").replaceChildren(...here.map((draft) => draftItem(draft, () => send(draft))));
}

/** Forgets what one user has read and written, before another one comes. */
function forget() {
  clearTimeout(typingTimer);
  typingTimer = undefined;
  rooms.clear();
  drafts.clear();
  $("composer").reset();
}

// ---- People -----------------------------------------------------------------------------------------------

/** Shows who is online from now on; the client keeps the list up to date, also across reconnects. */
function observeOnline() {
  // one that has ended does not come back: the session was over
  if (online && !online.error) return;
  online = socket.presence(ONLINE_CHANNEL);
  online.on("change", showPeople);
}

function showPeople() {
  const people = [...online.members].sort((a, b) => (a.id < b.id ? -1 : 1));
  $("people-count").textContent = online.count;
  $("people").replaceChildren(
    ...people.map(({ id, state }) => personItem(id, state?.typing, besideName(id))),
  );
}

$("text").addEventListener("input", () => setTyping($("text").value !== ""));

/** Tells the others whether the user is typing. */
function setTyping(typing) {
  const wasTyping = typingTimer !== undefined;
  clearTimeout(typingTimer);
  typingTimer = typing ? setTimeout(setTyping, TYPING_TIME, false) : undefined;
  if (typing !== wasTyping) online?.set({ typing });
}

function besideName(name) {
  if (name === me.name) return element("span", { className: "quiet", textContent: "you" });
  if (me.role !== "admin") return "";
  const label = { type: "button", textContent: "Nudge", ariaLabel: `Nudge ${name}` };
  return element("button", { ...label, onclick: () => nudge(name) });
}

async function nudge(name) {
  try {
    // a nudge means now, so it does not wait for a connection
    await socket.rpc("admin.nudge", { name }, { queue: false });
    notify(`You have nudged ${name}.`, "good");
  } catch (error) {
    notify(error.message);
  }
}

/** The function that the server calls. */
function askForAnswer({ from }, answer) {
  const dialog = $("nudge");
  if (dialog.open) return answer(new Error("There is another question already"));
  $("nudge-title").textContent = `${from} nudges you`;
  dialog.returnValue = "";
  dialog.showModal();
  const close = () => answer(null, dialog.returnValue || "(closed without an answer)");
  dialog.addEventListener("close", close, { once: true });
}

function showNudged({ name, answer, error }) {
  if (error) notify(`${name} has not answered: ${error}`);
  else notify(`${name} answers: ${answer}`, "good");
}

// ---- Notices ----------------------------------------------------------------------------------------------

function notify(text, kind = "bad") {
  clearTimeout(noticeTimer);
  $("notice").textContent = text;
  $("notice").dataset.kind = kind;
  $("notice").hidden = false;
  noticeTimer = setTimeout(() => {
    $("notice").hidden = true;
  }, NOTICE_TIME);
}

start().catch((error) => showLogin(error.message));
