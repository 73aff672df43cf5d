type Listen = (event: string, listener: () => void, options: { signal: AbortSignal }) => void;

/** What of a page tells that a connection may work again. */
interface Page {
  addEventListener?: Listen;
  document?: { readonly visibilityState: string; addEventListener: Listen };
}

/** Calls `wake` when the browser is online again or its page is seen again, until the function returned is called. */
export function onWake(wake: () => void, page = globalThis as unknown as Page): () => void {
  const { document } = page;
  const end = new AbortController();
  // elsewhere than in a page there are no such events
  if (document) {
    const onVisible = () => {
      if (document.visibilityState === "visible") wake();
    };
    document.addEventListener("visibilitychange", onVisible, end);
    page.addEventListener?.("online", wake, end);
  }
  return () => end.abort();
}
