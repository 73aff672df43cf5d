import Mocha from "mocha";

/** How many of the slowest tests are told, where there are many. */
const SLOWEST = 20;
const MANY = 500;

/** Mocha's own report, and before its end, with what has failed, which of many tests took longest. */
class SlowestReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options);
    const times: { title: string; file: string; duration: number }[] = [];
    runner.on("test end", (test) => {
      const { duration = 0, file = "" } = test;
      times.push({ title: test.titlePath().join(" "), file, duration });
    });
    runner.prependOnceListener("end", () => {
      if (times.length < MANY) return;
      times.sort((a, b) => b.duration - a.duration);
      const lines = times.slice(0, SLOWEST).map(({ title, duration }) => `${duration} ms  ${title}`);
      Mocha.reporters.Base.consoleLog(`\n  The slowest tests:\n    ${lines.join("\n    ")}\n`);
    });
  }
}

export { SlowestReporter as default, SlowestReporter as "module.exports" };
