"use client";

import { useResult } from "node-token-sockjs/react";

export function Sum() {
  const { data } = useResult("add", [1, 2]);
  return <p>{data ?? "…"}</p>;
}
