import { onAbort } from "../../shared/abort.js";

type Listen = (event: string, listener: () => void) => void;

/** The events of a page that tell that a connection may work again, or that the page is being left. */
interface Page {
  addEventListener?: Listen;
  removeEventListener?: Listen;
  document?: { readonly visibilityState: string; addEventListener: Listen; removeEventListener: Listen };
}

/** Listens until the function that it returns is called. By no signal: that of jest is none to its jsdom. */
function listen(target: Omit<Page, "document">, event: string, listener: () => void): () => void {
  target.addEventListener?.(event, listener);
  return () => target.removeEventListener?.(event, listener);
}

/**
 * The time for which a page counts as being left, in milliseconds. No event tells that it stays after all, as it does where the link
 * was a download.
 */
const LEAVING = 5000;

/**
 * Calls `wake` when the browser is online again or its page is seen again or comes back, until the function returned is
 * called.
 */
export function onWake(wake: () => void, page = globalThis as unknown as Page): () => void {
  const { document } = page;
  // elsewhere than in a page there are no such events
  if (!document) return () => {};
  const onVisible = () => {
    if (document.visibilityState === "visible") wake();
  };
  const stops = [
    listen(document, "visibilitychange", onVisible),
    listen(page, "online", wake),
    listen(page, "pageshow", wake),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}

/**
 * Gives a function that says for how many milliseconds more the page counts as being left; not above 0 where it is not.
 * Firefox closes a page's connections as soon as another page is asked for, while the page may go on for seconds.
 */
export function whileLeaving(signal: AbortSignal, page = globalThis as unknown as Page): () => number {
  let end = 0;
  for (const event of page.document ? ["beforeunload", "pagehide", "pageshow"] : []) {
    const follow = () => {
      end = event === "pageshow" ? 0 : Date.now() + LEAVING;
    };
    onAbort(signal, listen(page, event, follow));
  }
  return () => end - Date.now();
}
