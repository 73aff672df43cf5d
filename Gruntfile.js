/**
 * `grunt` alone builds, and then checks and tests; each task is the npm script of the same purpose, or several of them,
 * of which those that do not need each other run at once.
 */
function gruntfile(grunt) {
  const TESTS = "test:only";

  /**
   * Runs a script; rejects where it fails. Where it runs beside others what it prints comes when it ends, and what a
   * failing one has printed comes last, but for the tests, which are what takes long.
   */
  const npm = (script, isAlone) =>
    new Promise((resolve, reject) => {
      const stdio = isAlone || script === TESTS ? "inherit" : "pipe";
      // tsc ends before it has to collect garbage, which takes it as long as its work
      const env = { ...process.env, GOGC: "off" };
      grunt.util.spawn(
        { cmd: "npm", args: ["run", script], opts: { stdio, env } },
        (error, { stdout, stderr }) => {
          const said = stdio === "pipe" ? `${stdout}\n${stderr}\n` : "";
          if (error) return reject(new Error(`${said}npm run ${script} failed`));
          grunt.log.write(said);
          resolve();
        },
      );
    });

  const task = (name, what, ...chains) =>
    grunt.registerTask(name, what, async function run() {
      const done = this.async();
      const outcomes = await Promise.allSettled(
        chains.map(async (scripts) => {
          for (const script of scripts) await npm(script, chains.length === 1);
        }),
      );
      const failed = outcomes.filter(({ status }) => status === "rejected");
      for (const { reason } of failed) grunt.log.error(reason.message);
      done(failed.length === 0);
    });

  task("lint", "Check style and types", ["lint"]);
  task("build", "Compile lib/ into dist/", ["build"]);
  task("examples", "Check the types of the examples", ["check:examples"]);
  task("package", "Check the package as it would be published", ["check:package"]);
  task("test", "Run all tests", [TESTS]);
  task("ready", "Build, and install the benchmark's packages", ["build"], ["prelint"]);
  task("all", "Check all, and run all tests", ["lint"], ["check:examples", "check:package"], [TESTS]);
  grunt.registerTask("built", "Let the tests of the package pack what is built", () => {
    process.env.NODE_TOKEN_SOCKJS_BUILT = "true";
  });
  grunt.registerTask("default", ["ready", "built", "all"]);
}

export { gruntfile as default, gruntfile as "module.exports" };
