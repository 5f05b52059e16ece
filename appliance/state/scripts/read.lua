-- One lease as it stands.
-- KEYS: lease.  Answers {remaining life in ms, fields}, {its type} for fields when it is no hash, {} when it is free.
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then
  return {}
end
return {redis.call('PTTL', KEYS[1]), kind == 'hash' and redis.call('HGETALL', KEYS[1]) or {kind}}
