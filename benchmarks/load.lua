-- Load for wrk: post one body again and again, with the next API key each time, so that requests in
-- flight carry as many keys as there are connections.
-- Arguments after "--": the file with the body, how many of its bytes are JSON or "-" for all, a file
-- with one API key per line or "-" for none, and "once" if each request gets an Idempotency-Key of its
-- own. Fewer API keys take turns where the body is large, as there is a copy of it for each.
-- The last line printed is one JSON object; times are in microseconds.

local MOST_BYTES = 64 * 1024 * 1024
local FEWEST_KEYS = 16
local PLACE = "place-of-a-key"

local requests = {}
local turn = 0
local sent = 0
local run = ""

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read("*a")
  file:close()
  return text
end

function init(arguments)
  local body = read(arguments[1])
  local headers = { ["Content-Type"] = "application/json" }
  if arguments[2] ~= "-" then
    headers["Content-Type"] = "application/octet-stream"
    headers["Inference-Header-Content-Length"] = arguments[2]
  end
  if arguments[4] == "once" then
    headers["Idempotency-Key"] = PLACE
    run = string.format("%d-%d-", os.time(), math.floor(os.clock() * 1e6))
  end
  if arguments[3] == "-" then
    requests[1] = wrk.format("POST", nil, headers, body)
    return
  end
  local most = math.max(FEWEST_KEYS, math.floor(MOST_BYTES / #body))
  for key in read(arguments[3]):gmatch("%S+") do
    if #requests == most then
      return
    end
    headers["Authorization"] = "Bearer " .. key
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  turn = turn % #requests + 1
  if run == "" then
    return requests[turn]
  end
  sent = sent + 1
  local first, last = requests[turn]:find(PLACE, 1, true)
  return requests[turn]:sub(1, first - 1) .. run .. sent .. requests[turn]:sub(last + 1)
end

function done(summary, latency)
  local errors = summary.errors
  print(string.format(
    '{"requests": %d, "duration": %d, "p50": %d, "p99": %d, "max": %d, '
      .. '"non_2xx": %d, "socket_errors": %d, "timeouts": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    errors.status, errors.connect + errors.read + errors.write, errors.timeout))
end
