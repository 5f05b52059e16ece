-- Every live lease in one answer: {stream, remaining life in ms, fields}, …; {its type} for fields when it is no hash.
-- KEYS: index.  ARGV: prefix of the leases' keys.
local now = redis.call('TIME')
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now[1] * 1000 + math.floor(now[2] / 1000))
local rows = {}
for _, stream in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. stream
  local kind = redis.call('TYPE', key)['ok']
  if kind == 'hash' then
    rows[#rows + 1] = {stream, redis.call('PTTL', key), redis.call('HGETALL', key)}
  elseif kind ~= 'none' then
    -- a key of another type must not hide the leases of the others
    rows[#rows + 1] = {stream, redis.call('PTTL', key), {kind}}
  end
end
return rows
