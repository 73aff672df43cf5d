import { defineConfig } from "vitest/config";

const project = (environment, include) => ({ test: { name: environment, environment, include } });

export default defineConfig({
  test: {
    projects: [
      project("node", ["server.test.js"]),
      project("jsdom", ["server.test.js", "page.test.jsx"]),
      project("happy-dom", ["server.test.js", "page.test.jsx"]),
    ],
  },
});
