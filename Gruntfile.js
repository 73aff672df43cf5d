/** `grunt` alone lints, builds and tests; each task is the npm script of the same purpose. */
function gruntfile(grunt) {
  const npm = (script) =>
    function run() {
      const done = this.async();
      start(script, "inherit", (error) => done(!error));
    };
  const start = (script, stdio, done) =>
    grunt.util.spawn({ cmd: "npm", args: ["run", script], opts: { stdio } }, done);

  /**
   * Two runs at once: the tests of faults wait most of the time. What these, and the benchmark's, print comes later, and
   * which tests have failed comes last.
   */
  function test() {
    const done = this.async();
    const outputs = {};
    const end =
      (name) =>
      (error, { stdout }) => {
        outputs[name] = { failed: Boolean(error), stdout };
        const { beside, others } = outputs;
        if (!beside || !others) return;
        grunt.log.writeln(beside.stdout);
        for (const { failed, stdout } of [beside, others]) if (failed) grunt.log.writeln(summaryOf(stdout));
        done(!beside.failed && !others.failed);
      };
    start("test:beside", ["ignore", "pipe", "inherit"], end("beside"));
    start("test:others", ["ignore", "pipe", "inherit"], end("others")).stdout.pipe(process.stdout);
  }

  grunt.registerTask("lint", "Check style and types", npm("lint"));
  grunt.registerTask("build", "Compile lib/ into dist/", npm("build"));
  grunt.registerTask("examples", "Check the types of the examples", npm("check:examples"));
  grunt.registerTask("test", "Run all tests", test);
  grunt.registerTask("package", "Check the package as it would be published", npm("check:package"));
  grunt.registerTask("default", ["lint", "build", "examples", "package", "test"]);
}

/** The end of what mocha prints: how many tests passed, and which have failed and how. */
function summaryOf(output) {
  return output.slice(Math.max(0, output.search(/^.*\b\d+ passing \(/m)));
}

export { gruntfile as default, gruntfile as "module.exports" };
