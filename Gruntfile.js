/**
 * `grunt` alone lints, builds and tests; each task is the npm script of the same purpose, or several of them, of which
 * those that do not need each other run at once.
 */
function gruntfile(grunt) {
  /** Runs a script; rejects where it fails. What it prints comes at once where no other one runs, or when it ends. */
  const npm = (script, stdio) =>
    new Promise((resolve, reject) => {
      // tsc ends before it has to collect garbage, which takes it as long as its work
      const env = { ...process.env, GOGC: "off" };
      grunt.util.spawn(
        { cmd: "npm", args: ["run", script], opts: { stdio, env } },
        (error, { stdout, stderr }) => {
          if (stdio === "pipe") grunt.log.writeln(`${stdout}\n${stderr}`);
          if (error) reject(new Error(`npm run ${script} failed`));
          else resolve();
        },
      );
    });

  const task = (name, what, ...chains) =>
    grunt.registerTask(name, what, async function run() {
      const done = this.async();
      const outcomes = await Promise.allSettled(
        chains.map(async (scripts) => {
          for (const script of scripts) await npm(script, chains.length > 1 ? "pipe" : "inherit");
        }),
      );
      const failed = outcomes.filter(({ status }) => status === "rejected");
      for (const { reason } of failed) grunt.log.error(reason.message);
      done(failed.length === 0);
    });

  const READY = ["build", "check:examples", "check:package"];
  task("lint", "Check style and types", ["lint"]);
  task("build", "Compile lib/ into dist/", ["build"]);
  task("examples", "Check the types of the examples", ["check:examples"]);
  task("package", "Check the package as it would be published", ["check:package"]);
  task("checks", "All that is checked before the tests", ["lint"], READY);
  task("test", "Run all tests", ["test:only"]);
  grunt.registerTask("default", ["checks", "test"]);
}

export { gruntfile as default, gruntfile as "module.exports" };
