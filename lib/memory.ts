export { type MemoryRedis, memoryRedis } from "./server/redis/memory.js";
