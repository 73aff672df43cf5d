type Listen = (event: string, listener: () => void, options: { signal: AbortSignal }) => void;

/** The events of a page that tell that a connection may work again, or that the page is being left. */
interface Page {
  addEventListener?: Listen;
  document?: { readonly visibilityState: string; addEventListener: Listen };
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
  const end = new AbortController();
  // elsewhere than in a page there are no such events
  if (document) {
    const onVisible = () => {
      if (document.visibilityState === "visible") wake();
    };
    document.addEventListener("visibilitychange", onVisible, end);
    for (const event of ["online", "pageshow"]) page.addEventListener?.(event, wake, end);
  }
  return () => end.abort();
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
    page.addEventListener?.(event, follow, { signal });
  }
  return () => end - Date.now();
}
