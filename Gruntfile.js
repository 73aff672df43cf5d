/** `grunt` alone lints, builds and tests; each task is the npm script of the same purpose. */
function gruntfile(grunt) {
  const npm = (script) =>
    function run() {
      const done = this.async();
      grunt.util.spawn({ cmd: "npm", args: ["run", script], opts: { stdio: "inherit" } }, (error) =>
        done(!error),
      );
    };

  grunt.registerTask("lint", "Check style and types", npm("lint"));
  grunt.registerTask("build", "Compile lib/ into dist/", npm("build"));
  grunt.registerTask("examples", "Check the types of the examples", npm("check:examples"));
  grunt.registerTask("test", "Run all tests", npm("test:only"));
  grunt.registerTask("package", "Check the package as it would be published", npm("check:package"));
  grunt.registerTask("default", ["lint", "build", "examples", "package", "test"]);
}

export { gruntfile as default, gruntfile as "module.exports" };
