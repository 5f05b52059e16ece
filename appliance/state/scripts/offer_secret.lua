-- Store a sealed secret unless the one that is there is as new, or newer than the one that it was made from.
-- KEYS[1]: hash of secrets.  ARGV: name, version, generation, ciphertext, version that it was made from.
-- Answers 1 when it was stored, else 0.
-- Numbers of milliseconds are below 2^53, so Lua compares them exactly.
local present = redis.call('HGET', KEYS[1], ARGV[1])
if present then
  local version, generation = string.match(present, '^(%d+)%.(%d+)%.')
  version, generation = tonumber(version), tonumber(generation)
  if version and (version > tonumber(ARGV[5])
      or (version == tonumber(ARGV[2]) and generation >= tonumber(ARGV[3]))) then
    return 0
  end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '.' .. ARGV[3] .. '.' .. ARGV[4])
return 1
