/* global TokenSocket */
import { $, draftItem, element, messageItem, personItem, roomItem, userLabel } from "./elements.js";

const PEOPLE_CHANNEL = "people";

/** How often the connection is tried out, so that one that has died in silence is noticed, in milliseconds. */
const PING_INTERVAL = 20_000;

/** How long a notice stays, in milliseconds. */
const NOTICE_TIME = 6_000;

/** How many messages of a room are shown. */
const LONGEST_LOG = 200;

/** The connection, from the first login on. */
let socket;
let users = [];
let me;
/** The rooms by channel; each with its messages by id. */
let rooms = new Map();
let current;
/** What was written here and has not come back from the server yet, by key. */
const drafts = new Map();
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
    if (state === "open") catchUp();
  });

  socket.onmessage((channel, message) => {
    if (channel === PEOPLE_CHANNEL) showPeople(message);
    else if (rooms.has(channel)) addMessage(rooms.get(channel), message);
    else if (message.nudged) showNudged(message.nudged);
  });

  socket.on("unsubscribed", (_channel, error) => {
    // the user may do less than before, or has become somebody else in another window
    if (error) location.reload();
  });
}

/** What is said from now on comes by the channels, and what was said meanwhile from the server's memory. */
async function catchUp() {
  const open = [...rooms.values()].filter((room) => room.open);
  const channels = [PEOPLE_CHANNEL, `user:${me.name}`, ...open.map((room) => room.channel)];
  try {
    await Promise.all(channels.map((channel) => socket.subscribe(channel)));
    await Promise.all(open.map(loadMessages));
    showPeople(await socket.rpc("people.online"));
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
  if (user.name !== me?.name) forgetWhatWasWritten();
  me = user;
  rooms = new Map(list.map((room) => [room.channel, { ...room, messages: new Map(), unread: 0 }]));
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

async function loadMessages(room) {
  const { messages } = await socket.rpc("rooms.messages", { room: room.name });
  for (const message of messages) {
    room.messages.set(message.id, message);
    drafts.delete(message.key);
  }
  if (room.channel === current) renderMessages();
}

function addMessage(room, given) {
  // whoever publishes in Redis itself may send any JSON
  const message = given?.id ? given : { id: newKey(), at: Date.now(), text: String(given) };
  // the server's memory may have been faster
  if (room.messages.has(message.id)) return;
  const messages = sorted(room);
  room.messages.set(message.id, message);
  if (messages.length === LONGEST_LOG) room.messages.delete(messages[0].id);
  if (drafts.delete(message.key)) renderDrafts();
  if (room.channel !== current) {
    room.unread += 1;
    renderRooms();
  } else if (messages.length === 0 || messages.at(-1).at > message.at) renderMessages();
  // just that one, so that a screen reader reads no other
  else $("messages").append(messageItem(message, messages.at(-1)));
}

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  $("text").value = "";
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
      await socket.subscribe(room.channel, { queue: false });
      await loadMessages(room);
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
  renderMessages();
}

function renderMessages() {
  const messages = sorted(rooms.get(current));
  $("messages").replaceChildren(
    ...messages.map((message, index) => messageItem(message, messages[index - 1])),
  );
  if (messages.length === 0) {
    $("messages").append(element("li", { className: "empty", textContent: "Nobody has said anything yet." }));
  }
  renderDrafts();
  $("log").scrollTop = 0; // its end
}

function renderDrafts() {
  const here = [...drafts.values()].filter(({ channel }) => channel === current);
  $("drafts").replaceChildren(...here.map((draft) => draftItem(draft, () => send(draft))));
}

function forgetWhatWasWritten() {
  drafts.clear();
  $("composer").reset();
}

function sorted(room) {
  return [...room.messages.values()].sort((a, b) => a.at - b.at);
}

// ---- People -----------------------------------------------------------------------------------------------

function showPeople(names) {
  $("people-count").textContent = names.length;
  $("people").replaceChildren(...names.map((name) => personItem(name, besideName(name))));
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
