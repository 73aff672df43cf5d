import { Connection } from "./connection.js";

const PEOPLE_CHANNEL = "people";

/** How long a notice stays, in milliseconds. */
const NOTICE_TIME = 6_000;

/** How many messages of a room are shown. */
const LONGEST_LOG = 200;

const $ = (id) => document.getElementById(id);
const connection = new Connection({ nudge: askForAnswer });

let me;
/** The rooms by channel; each with its messages by id. */
let rooms = new Map();
let current;
let noticeTimer;

// ---- Logging in -------------------------------------------------------------------------------------------

async function start() {
  const { user, users } = await api("/session");
  if (user) await enter(user);
  else showLogin(users);
}

function showLogin(users, notice = "") {
  $("users").replaceChildren(
    ...users.map((user) =>
      element("label", {}, [
        element("input", { type: "radio", name: "name", value: user.name, required: true }),
        avatar(user.name),
        element("span", { className: "name", textContent: user.name }),
        element("span", { className: "role", textContent: user.role }),
      ]),
    ),
  );
  const inputs = [...$("users").querySelectorAll("input")];
  const chosen = inputs.find((input) => input.value === me?.name) ?? inputs[0];
  if (chosen) chosen.checked = true;
  $("login-notice").textContent = notice;
  $("login-notice").hidden = !notice;
  $("chat").hidden = true;
  $("login").hidden = false;
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = new FormData(event.target).get("name");
  try {
    const { user } = await api("/login", { name });
    await enter(user);
  } catch (error) {
    $("login-notice").textContent = error.message;
    $("login-notice").hidden = false;
  }
});

$("logout").addEventListener("click", async () => {
  try {
    await api("/logout", {});
    location.reload();
  } catch (error) {
    notify(error.message);
  }
});

async function enter(user) {
  me = user;
  // the handler that is called as "rooms.list" over the socket
  const list = (await api("/api/rooms")).rooms;
  rooms = new Map(list.map((room) => [room.channel, { ...room, messages: new Map(), unread: 0 }]));
  if (!rooms.get(current)?.open) current = list[0].channel;
  $("me-name").textContent = me.name;
  $("me-role").textContent = me.role;
  $("login").hidden = true;
  $("chat").hidden = false;
  $("people-details").open = matchMedia("(min-width: 48rem)").matches;
  showStatus("connecting");
  renderRooms();
  renderRoom();
  connection.open();
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

// ---- The connection ---------------------------------------------------------------------------------------

connection.addEventListener("open", async () => {
  showStatus("open");
  const open = [...rooms.values()].filter((room) => room.open);
  const channels = [PEOPLE_CHANNEL, `user:${me.name}`, ...open.map((room) => room.channel)];
  try {
    await Promise.all(channels.map((channel) => connection.subscribe(channel)));
    // what was said meanwhile comes from the server's memory, what is said from now on by the channels
    await Promise.all(open.map(loadMessages));
    showPeople(await connection.call("people.online"));
  } catch (error) {
    if (connection.isOpen) notify(error.message);
  }
});

connection.addEventListener("lost", () => showStatus("lost"));

connection.addEventListener("denied", async () => {
  try {
    const { users } = await api("/session");
    showLogin(users, "Your session has ended. Please log in again.");
  } catch {
    connection.open();
  }
});

connection.addEventListener("message", ({ detail: { channel, message } }) => {
  if (channel === PEOPLE_CHANNEL) showPeople(message);
  else if (rooms.has(channel)) addMessage(rooms.get(channel), message);
  else if (message.nudged) showNudged(message.nudged);
});

$("retry").addEventListener("click", () => connection.retry());

function showStatus(state) {
  const before = $("status").dataset.state;
  // an attempt that fails once more is nothing new
  if (before === state) return;
  $("status").dataset.state = state;
  $("status").textContent = { connecting: "Connecting…", open: "Connected", lost: "Offline" }[state];
  $("lost").hidden = state !== "lost";
  $("send").disabled = state !== "open";
  if (before === "lost" && state === "open") notify("Connected again.", "good");
}

// ---- Rooms and messages -----------------------------------------------------------------------------------

async function loadMessages(room) {
  const { messages } = await connection.call("rooms.messages", { room: room.name });
  for (const message of messages) room.messages.set(message.id, message);
  if (room.channel === current) renderMessages();
}

function addMessage(room, given) {
  // whoever publishes in Redis itself may send any JSON
  const message = given.id ? given : { id: connection.newId(), at: Date.now(), text: String(given) };
  const messages = sorted(room);
  room.messages.set(message.id, message);
  if (messages.length === LONGEST_LOG) room.messages.delete(messages[0].id);
  unsent.delete(message.key);
  if (room.channel !== current) {
    room.unread += 1;
    renderRooms();
  } else if (messages.length === 0 || messages.at(-1).at > message.at) renderMessages();
  // just that one, so that a screen reader reads no other
  else $("messages").append(messageItem(message, messages.at(-1)));
}

async function choose(room) {
  if (!room.open) {
    try {
      await connection.subscribe(room.channel);
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
    ...[...rooms.values()].map((room) => {
      const button = element("button", { type: "button", onclick: () => choose(room) }, [
        element("span", { className: "name", textContent: room.name }),
      ]);
      if (room.channel === current) button.setAttribute("aria-current", "true");
      if (!room.open) button.append(element("span", { className: "locked", textContent: "closed" }));
      if (room.unread > 0) {
        const label = `${room.unread} unread`;
        button.append(element("span", { className: "count", textContent: room.unread, title: label }));
      }
      return element("li", {}, [button]);
    }),
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
  $("log").scrollTop = 0; // its end
}

function sorted(room) {
  return [...room.messages.values()].sort((a, b) => a.at - b.at);
}

function messageItem({ author, at, address, text }, previous) {
  const time = element("time", {
    dateTime: new Date(at).toISOString(),
    textContent: new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }),
  });
  if (!author) return element("li", { className: "plain" }, [element("p", { textContent: text }), time]);
  const head = element("p", { className: "author" }, [
    element("b", { textContent: author.name }),
    element("span", { className: "role", textContent: author.role }),
    time,
  ]);
  // only admins get it from the server
  if (address) head.append(element("code", { className: "address", textContent: address, title: "Address" }));
  const isFurther = previous?.author?.name === author.name && at - previous.at < 120_000;
  return element("li", { className: isFurther ? "further" : "" }, [
    avatar(author.name),
    element("div", {}, [head, element("p", { className: "text", textContent: text })]),
  ]);
}

/** The texts that have been sent and have not come back yet, by their keys. */
const unsent = new Map();

$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text || !connection.isOpen) return;
  const key = connection.newId();
  unsent.set(key, text);
  $("text").value = "";
  connection.publish(current, { text, key }, (error) => {
    if (!unsent.delete(key)) return;
    notify(`Not sent: ${error.message}`);
    $("text").value ||= text;
  });
});

// ---- People -----------------------------------------------------------------------------------------------

function showPeople(names) {
  $("people-count").textContent = names.length;
  $("people").replaceChildren(
    ...names.map((name) => {
      const item = element("li", {}, [
        avatar(name),
        element("span", { className: "name", textContent: name }),
      ]);
      if (name === me.name) item.append(element("span", { className: "quiet", textContent: "you" }));
      else if (me.role === "admin") {
        const button = { type: "button", textContent: "Nudge", ariaLabel: `Nudge ${name}` };
        item.append(element("button", { ...button, onclick: () => nudge(name) }));
      }
      return item;
    }),
  );
}

async function nudge(name) {
  try {
    await connection.call("admin.nudge", { name });
    notify(`You have nudged ${name}.`, "good");
  } catch (error) {
    notify(error.message);
  }
}

/** The function that the server calls; what it returns is the answer. */
function askForAnswer({ from }) {
  const dialog = $("nudge");
  if (dialog.open) throw new Error("There is another question already");
  $("nudge-title").textContent = `${from} nudges you`;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue || "(closed without an answer)"), {
      once: true,
    });
  });
}

function showNudged({ name, answer, error }) {
  if (error) notify(`${name} has not answered: ${error}`);
  else notify(`${name} answers: ${answer}`, "good");
}

// ---- Bits and pieces --------------------------------------------------------------------------------------

function notify(text, kind = "bad") {
  clearTimeout(noticeTimer);
  $("notice").textContent = text;
  $("notice").dataset.kind = kind;
  $("notice").hidden = false;
  noticeTimer = setTimeout(() => {
    $("notice").hidden = true;
  }, NOTICE_TIME);
}

/** What others have written goes into the page as text only. */
function element(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function avatar(name) {
  const made = element("span", {
    className: "avatar",
    ariaHidden: "true",
    textContent: name[0].toUpperCase(),
  });
  const hue = [...name].reduce((sum, letter) => sum * 31 + letter.codePointAt(0), 7) % 360;
  made.style.setProperty("--hue", hue);
  return made;
}

start().catch((error) => showLogin([], error.message));
