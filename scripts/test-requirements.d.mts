/** The path of the program that the tests start as their Redis server, or undefined. */
export function findRedisServer(): string | undefined;
/** The path of the browser that the tests drive, or undefined; `CHROMIUM_PATH` alone decides where it is set. */
export function findChromium(): string | undefined;
/** The path of the Firefox that the tests drive, or undefined; `FIREFOX_PATH` alone decides where it is set. */
export function findFirefox(): string | undefined;
/** The path of the driver by which the tests start WebKit, or undefined. */
export function findWebKitDriver(): string | undefined;
/** The path of the X server on which the tests show WebKit, or undefined. */
export function findXvfb(): string | undefined;
/** Whether the system may have the driver of WebKit: Linux. */
export function mayRunWebKit(): boolean;
/** The path of the nginx that the tests start, or undefined. */
export function findNginx(): string | undefined;
/** The path of the HAProxy that the tests start, or undefined. */
export function findHAProxy(): string | undefined;
/** The path of the `ip` by which the tests make networks, or undefined. */
export function findIp(): string | undefined;
/** Whether the system may let the tests make networks: Linux, for root. */
export function mayMakeNetworks(): boolean;
/** Whether the environment names a Redis server, so that the tests need none of their own. */
export function isRedisGiven(): boolean;
