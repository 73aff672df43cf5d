import { Script } from "./script.js";

/**
 * Makes changes to a channel's members. The hash has the fields `e` and `v`, epoch and version, and for each member a field
 * that begins with `=`: `i` info, `s` state, `u` when that was set, `t` since when, `e` sockets by server, `g` until when it
 * stays without one.
 */
export const CHANGE = new Script(
  "time hget hset hdel hlen persist pexpire zadd zrem zscore publish",
  `
local key, own, dead = KEYS[1], KEYS[2], KEYS[3]
local server, limit = ARGV[1], tonumber(ARGV[3])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('HGET', key, 'e') or ''
local version = tonumber(redis.call('HGET', key, 'v') or '0')
local count = math.max(0, redis.call('HLEN', key) - 2)
local hadNone = count == 0
local answer = {epoch, string.format('%.0f', version)}
local outcomes = {}
local joined, refilled, updated, left, sockets = {}, {}, {}, {}, {}
local function total(member)
  local sum = 0
  for _, number in pairs(member.e) do sum = sum + number end
  return sum
end
local function shown(id, member)
  return {id = id, i = member.i, s = member.s, u = member.u, t = member.t, n = total(member)}
end
local function write(id, member) redis.call('HSET', key, '=' .. id, cjson.encode(member)) end
local function remember(entry) redis.call('ZADD', own, string.format('%.0f', now), entry) end
local function forget(entry) redis.call('ZREM', own, entry) end
local function out(what, detail)
  outcomes[#outcomes + 1] = what
  outcomes[#outcomes + 1] = detail or ''
end
local function leave(id, member, entry)
  redis.call('HDEL', key, '=' .. id)
  forget(entry)
  count = count - 1
  left[#left + 1] = id
  out('left', cjson.encode(shown(id, member)))
end
local function stay(id, member, wait)
  local text = shown(id, member)
  text.w = math.max(0, wait)
  out('grace', cjson.encode(text))
end
for _, change in ipairs(cjson.decode(ARGV[7])) do
  local id, entry, kind = change.id, change.k, change.o
  local text = redis.call('HGET', key, '=' .. id)
  local member = text and cjson.decode(text)
  if kind == 'put' or kind == 'refill' then
    if not member then
      if kind == 'put' and count >= limit then out('full')
      elseif kind == 'refill' and change.n == 0 and change.g <= 0 then out('gone')
      else
        member = {i = change.i, s = change.s or 'null', u = change.u or change.s and now or 0, t = change.t or now, e = {}}
        if change.n > 0 then member.e[server] = change.n else member.g = now + change.g end
        count = count + 1
        write(id, member)
        remember(entry)
        local list = kind == 'put' and joined or refilled
        list[#list + 1] = shown(id, member)
        out('joined', cjson.encode(shown(id, member)))
      end
    else
      local had, differs = total(member), false
      if change.n > 0 then
        member.e[server] = change.n
        member.g = nil
      else
        member.e[server] = nil
        if not next(member.e) and not member.g then member.g = now + change.g end
      end
      if kind == 'put' then
        if change.i ~= member.i then member.i, differs = change.i, true end
        if change.s and change.s ~= member.s then member.s, member.u, differs = change.s, now, true end
      elseif change.u > member.u and change.s ~= member.s then
        member.s, member.u, differs = change.s, change.u, true
      end
      if change.t and change.t < member.t then member.t = change.t end
      write(id, member)
      remember(entry)
      if differs then
        local list = kind == 'put' and updated or refilled
        list[#list + 1] = shown(id, member)
      elseif total(member) ~= had then sockets[#sockets + 1] = {id, total(member)} end
      out(differs and 'updated' or 'there', cjson.encode(shown(id, member)))
    end
  elseif kind == 'drop' then
    if not member then
      forget(entry)
      out('gone')
    else
      local had = total(member)
      member.e[server] = nil
      local due = math.max(member.g or 0, change.g > 0 and now + change.g or 0)
      if next(member.e) or due > now then
        member.g = due > now and due or nil
        write(id, member)
        if total(member) ~= had then sockets[#sockets + 1] = {id, total(member)} end
        if next(member.e) then
          forget(entry)
          out('there', cjson.encode(shown(id, member)))
        else
          remember(entry)
          stay(id, member, due - now)
        end
      else leave(id, member, entry) end
    end
  elseif kind == 'due' then
    if not member or next(member.e) then
      if not member or not member.e[server] then forget(entry) end
      out('gone')
    elseif (member.g or 0) > now then
      remember(entry)
      stay(id, member, member.g - now)
    else leave(id, member, entry) end
  elseif kind == 'dead' then
    local score = dead and redis.call('ZSCORE', dead, entry)
    if not score or tonumber(score) > tonumber(ARGV[9]) then out('gone')
    else
      redis.call('ZREM', dead, entry)
      if not member then out('gone')
      else
        local had = total(member)
        if member.e[ARGV[8]] then
          member.e[ARGV[8]] = nil
          member.g = math.max(member.g or 0, now + change.g)
        end
        member.g = member.g or now + change.g
        write(id, member)
        if total(member) ~= had then sockets[#sockets + 1] = {id, total(member)} end
        if next(member.e) then out('gone')
        else
          remember(entry)
          stay(id, member, member.g - now)
        end
      end
    end
  end
end
if #joined + #refilled + #updated + #left + #sockets > 0 then
  if epoch == '' then epoch = ARGV[5] end
  version = version + 1
  redis.call('HSET', key, 'e', epoch, 'v', string.format('%.0f', version))
  if count == 0 then redis.call('PEXPIRE', key, ARGV[6]) elseif hadNone then redis.call('PERSIST', key) end
  local change = {e = epoch, v = version, c = count}
  if ARGV[4] == '0' then
    if #joined > 0 then change.j = joined end
    if #refilled > 0 then change.r = refilled end
    if #updated > 0 then change.u = updated end
    if #left > 0 then change.l = left end
    if #sockets > 0 then change.s = sockets end
  end
  redis.call('PUBLISH', ARGV[2], cjson.encode(change))
end
answer[3], answer[4] = epoch, string.format('%.0f', version)
for _, text in ipairs(outcomes) do answer[#answer + 1] = text end
return answer
`,
);

/** Reads a part of a channel's members. */
export const READ_MEMBERS = new Script(
  "hget hlen hscan",
  `
local epoch, version = redis.call('HGET', KEYS[1], 'e'), redis.call('HGET', KEYS[1], 'v')
local count = math.max(0, redis.call('HLEN', KEYS[1]) - 2)
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local answer = {epoch or '', version or '0', string.format('%.0f', count), found[1]}
for i = 1, #found[2], 2 do
  if string.sub(found[2][i], 1, 1) == '=' then
    answer[#answer + 1] = string.sub(found[2][i], 2)
    answer[#answer + 1] = found[2][i + 1]
  end
end
return answer
`,
);

/** Reads the time, and some entries that a server has written up to a time. */
export const READ_ENTRIES = new Script(
  "time zrangebyscore",
  `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answer = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', '0', ARGV[2])
table.insert(answer, 1, string.format('%.0f', now))
return answer
`,
);
