import { expect } from "chai";
import { explain } from "../../lib/server/redis/explained-error.js";

const ASKED = { user: "app", commands: "set", keys: "token-sockjs:*" };

const explained = (message: string, asked: Parameters<typeof explain>[1] = ASKED) => {
  const error = new Error(message);
  const explanation = explain(error, asked) as Error;
  return { error, explanation, message: explanation.message };
};

describe("An error of Redis", () => {
  const RIGHT = "the server needs this right: ACL SETUSER app";

  for (const [words, rule] of [
    // Redis 6.2
    ["NOPERM this user has no permissions to run the 'set' command or its subcommand", "+set"],
    ["NOPERM this user has no permissions to access one of the keys used as arguments", "~token-sockjs:*"],
    // Redis 7 and later, Valkey
    ["NOPERM User app has no permissions to run the 'set' command", "+set"],
    ["NOPERM No permissions to access a key", "~token-sockjs:*"],
    // one that does not say what it was
    ["NOPERM: app has no ACL permissions", "+set ~token-sockjs:*"],
    // a command of the client's own
    ["NOPERM User app has no permissions to run the 'config|get' command", "+config|get"],
  ] as const) {
    it(`says which rule allows what it refuses: ${words}`, () => {
      expect(explained(words).message).to.equal(`${words}: ${RIGHT} ${rule}`);
    });
  }

  for (const words of [
    "NOPERM this user has no permissions to access one of the channels used as arguments",
    "NOPERM No permissions to access a channel",
  ]) {
    it(`says which channels are to be allowed: ${words}`, () => {
      const asked = { user: "app", commands: "publish", channels: "shop:*" };
      expect(explained(words, asked).message).to.equal(`${words}: ${RIGHT} &shop:*`);
    });
  }

  for (const words of [
    "ERR ACL failure in script: User app has no permissions to run the 'incrby' command script: 1, on @user_script:1.",
    "ERR Error running script (call to f_1): @user_script:1: The user executing the script can't run this command or subcommand",
    "NOPERM User app has no permissions to run the 'evalsha' command",
  ]) {
    it(`says which commands are needed together: ${words}`, () => {
      const asked = { user: "app", commands: "eval evalsha incrby pttl", keys: "token-sockjs:*" };
      expect(explained(words, asked).message).to.match(/: ACL SETUSER app \+eval \+evalsha \+incrby \+pttl$/);
    });
  }

  it("says what is asked for alone, where Redis does not say what it was", () => {
    const ruleFor = (asked: Partial<typeof ASKED> & { channels?: string }) =>
      explained("NOPERM: no", { user: "app", commands: "publish", ...asked }).message;
    expect(ruleFor({ channels: "shop:*" })).to.equal(`NOPERM: no: ${RIGHT} +publish &shop:*`);
    expect(ruleFor({})).to.equal(`NOPERM: no: ${RIGHT} +publish`);
  });

  it("says that somebody has to know the user, where the client does not tell", () => {
    const { message } = explained("NOPERM No permissions to access a key", { ...ASKED, user: undefined });
    expect(message).to.match(/ACL SETUSER <user> ~token-sockjs:\*$/);
  });

  for (const [words, advice] of [
    ["NOAUTH Authentication required.", /^NOAUTH Authentication required: .*`username` and `password`$/],
    ["WRONGPASS invalid username-password pair or user is disabled.", /`password` is wrong/],
    ["READONLY You can't write against a read only replica.", /connect the client to the primary/],
    ["OOM command not allowed when used memory > 'maxmemory'.", /`maxmemory`/],
    ["ERR DB index is out of range", /`database`/],
    ["ERR SELECT is not allowed in cluster mode", /`database`/],
    ["ERR unknown command 'GETDEL', with args beginning with: 'key'", /Redis 6\.2 or later/],
    ['Protocol error, got "\\u0015" as reply type byte. Please report this.', /speaks TLS/],
    ['Unknown RESP type 21 "\\u0015"', /speaks TLS/],
    ["Client network socket disconnected before secure TLS connection was established", /no TLS/],
  ] as const) {
    it(`says what to do about it, after its own words: ${words}`, () => {
      const { error, explanation, message } = explained(words);
      expect(message).to.match(advice);
      expect(message.startsWith(words.replace(/\.$/, ""))).to.equal(true);
      expect(explanation.cause).to.equal(error);
    });
  }

  for (const words of ["Socket closed unexpectedly", "Connection is closed"]) {
    it(`says that TLS may be wanted where there has never been a connection: ${words}`, () => {
      expect(explained(words, { ...ASKED, hasBeenReady: false }).message).to.match(
        /: if this goes on, .*TLS/,
      );
      const { error, explanation } = explained(words);
      expect(explanation).to.equal(error);
    });
  }

  it("is the same for each key that another node of a cluster has", () => {
    const [one, other] = ["MOVED 1 127.0.0.1:6380", "MOVED 16000 127.0.0.1:6381"].map((words) =>
      explained(words),
    );
    expect(one?.message).to.match(/^MOVED: this Redis is one node of a cluster/);
    expect(other?.message).to.equal(one?.message);
    expect(one?.explanation.cause).to.equal(one?.error);
  });

  it("keeps its own words but for their end", () => {
    expect(explained("OOM command not allowed, MOVED 5 away.. ").message).to.match(
      /^OOM command not allowed, MOVED 5 away: /,
    );
    const { error, explanation } = explained("Somebody said NOPERM");
    expect(explanation).to.equal(error);
  });

  it("is left as it is where nothing is known of it, and where it has been explained", () => {
    const { error, explanation } = explained("connect ECONNREFUSED 127.0.0.1:6379");
    expect(explanation).to.equal(error);
    const { explanation: once } = explained("NOAUTH Authentication required.");
    expect(explain(once, ASKED)).to.equal(once);
    expect(explain("no error", ASKED)).to.equal("no error");
  });
});
