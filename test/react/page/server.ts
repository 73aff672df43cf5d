/** What renders the page of a test on a server. */

import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { Page, type Part } from "./parts.js";

export function render(parts: readonly Part[]): string {
  return renderToString(createElement(Page, { socket: null, parts }));
}
