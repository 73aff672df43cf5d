// Pieces of the page. What others have written goes into them as text only.

/** How long a message counts as a further one of the same author, in milliseconds. */
const CLOSE_BY = 120_000;

export const $ = (id) => document.getElementById(id);

export function element(tag, properties, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

export function avatar(name) {
  const made = element("span", {
    className: "avatar",
    ariaHidden: "true",
    textContent: name[0].toUpperCase(),
  });
  const hue = [...name].reduce((sum, letter) => sum * 31 + letter.codePointAt(0), 7) % 360;
  made.style.setProperty("--hue", hue);
  return made;
}

export function userLabel({ name, role }) {
  return element("label", {}, [
    element("input", { type: "radio", name: "name", value: name, required: true }),
    avatar(name),
    element("span", { className: "name", textContent: name }),
    element("span", { className: "role", textContent: role }),
  ]);
}

export function roomItem({ name, open, unread }, isCurrent, onclick) {
  const button = element("button", { type: "button", onclick }, [
    element("span", { className: "name", textContent: name }),
  ]);
  if (isCurrent) button.setAttribute("aria-current", "true");
  if (!open) button.append(element("span", { className: "locked", textContent: "closed" }));
  if (unread > 0) {
    button.append(element("span", { className: "count", textContent: unread, title: `${unread} unread` }));
  }
  return element("li", {}, [button]);
}

/** A line of a room: a message, or the place where some are lost. */
export function lineItem(line, previous) {
  return line.lost ? gapItem(line.lost) : messageItem(line, previous);
}

function gapItem({ messages, reason }) {
  const count = messages === 1 ? "1 message was lost" : `${messages} messages were lost`;
  // where nobody can know how many, there may have been none
  const textContent = messages === null ? "Messages may have been lost" : count;
  return element("li", { className: "gap", textContent, title: reason });
}

function messageItem({ author, time: at, address, text }, previous) {
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
  const isFurther = previous?.author?.name === author.name && at - previous.time < CLOSE_BY;
  return element("li", { className: isFurther ? "further" : "" }, [
    avatar(author.name),
    element("div", {}, [head, element("p", { className: "text", textContent: text })]),
  ]);
}

/** A message that has not come back yet; with `error`, one that has failed. */
export function draftItem({ text, error }, onclick) {
  const item = element("li", {}, [element("p", { className: "text", textContent: text })]);
  if (error) {
    // where the connection was lost, nobody knows
    const outcome = error.sent ? "Perhaps not sent" : "Not sent";
    item.append(
      element("p", { className: "failed", textContent: `${outcome}: ${error.message}` }),
      element("button", { type: "button", textContent: "Send again", onclick }),
    );
  } else item.append(element("p", { className: "quiet", textContent: "Sending…" }));
  return item;
}

export function personItem(name, isTyping, end) {
  const typing = isTyping ? element("span", { className: "typing", textContent: "typing…" }) : "";
  return element("li", {}, [
    avatar(name),
    element("span", { className: "name", textContent: name }),
    typing,
    end,
  ]);
}
