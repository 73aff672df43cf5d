import { expect } from "chai";
import { createElement } from "react";
import { renderToString } from "react-dom/server";
import * as react from "../../lib/react/index.js";

describe("createHooks", () => {
  it("gives the very hooks that are there without types", () => {
    const { createHooks: _, ...hooks } = react;
    expect(react.createHooks()).to.deep.equal(hooks);
  });

  it("is for one provider, whose client the hooks have", () => {
    const { TokenSocketProvider, useTokenSocket } = react.createHooks();
    function Show() {
      const typed = useTokenSocket();
      const untyped = react.useTokenSocket();
      return createElement("p", null, `${typed} ${untyped}`);
    }
    const page = createElement(TokenSocketProvider, { socket: undefined }, createElement(Show));
    expect(renderToString(page)).to.equal("<p>null null</p>");
  });

  it("says so where there is no provider", () => {
    function Show() {
      react.useTokenSocket();
      return null;
    }
    expect(() => renderToString(createElement(Show))).to.throw("There is no TokenSocketProvider");
  });
});
