/** `grunt` alone lints, builds and tests; each task is the npm script of the same purpose. */
function gruntfile(grunt) {
  const npm = (script) =>
    function run() {
      const done = this.async();
      start(script, "inherit", (error) => done(!error));
    };
  const start = (script, stdio, done) =>
    grunt.util.spawn({ cmd: "npm", args: ["run", script], opts: { stdio } }, done);

  /** Two runs at once: the tests of faults wait most of the time. What these, and the benchmark's, print comes last. */
  function test() {
    const done = this.async();
    const ends = [];
    let printed = "";
    const end = (error) => {
      ends.push(!error);
      if (ends.length < 2) return;
      grunt.log.writeln(printed);
      done(ends.every(Boolean));
    };
    start("test:beside", "pipe", (error, { stdout, stderr }) => {
      printed = `${stdout}\n${stderr}`;
      end(error);
    });
    start("test:others", "inherit", end);
  }

  grunt.registerTask("lint", "Check style and types", npm("lint"));
  grunt.registerTask("build", "Compile lib/ into dist/", npm("build"));
  grunt.registerTask("examples", "Check the types of the examples", npm("check:examples"));
  grunt.registerTask("test", "Run all tests", test);
  grunt.registerTask("package", "Check the package as it would be published", npm("check:package"));
  grunt.registerTask("default", ["lint", "build", "examples", "package", "test"]);
}

export { gruntfile as default, gruntfile as "module.exports" };
