-- Dissector of the Task Cancellation Protocol for Wireshark and tshark: ZMTP 3 over TCP, and in it the messages of
-- protocol/message.capnp. conformance/TAP.md says how to use it. Wireshark 3.6 or later, Lua 5.2 to 5.4.
--
--     tshark -X lua_script:rescind.lua -r capture.pcapng -Y rescind
--
-- A connection is recognized by its greeting. One whose beginning was not captured: -d tcp.port==6378,rescind.
--
-- What is not understood is shown as bytes with a note of the expert system; it never ends a dissection.

local rescind = Proto("rescind", "Task Cancellation Protocol")

local MEMBERS = {
    [0] = "Task", "TaskCancel", "TaskCancelConfirm", "TaskResult", "TaskLog", "GraphTask", "ObjectInstruction",
    "ClientHeartbeat", "ClientHeartbeatEcho", "WorkerHeartbeat", "WorkerHeartbeatEcho", "StateClient", "StateObject",
    "StateBalanceAdvice", "StateScheduler", "StateWorker", "StateTask", "StateGraphTask", "ClientDisconnect",
    "ClientShutdownResponse", "ProcessorInitialized", "InformationRequest", "InformationResponse",
    "WorkerManagerHeartbeat", "WorkerManagerHeartbeatEcho", "WorkerManagerCommand", "WorkerDisconnectNotification",
}
local CONFIRM_TYPES = { [0] = "canceled", "cancelFailed", "cancelNotFound" }
local RESULT_TYPES = { [0] = "success", "failed", "failedWorkerDied" }
local LOG_TYPES = { [0] = "stdout", "stderr" }
local DISCONNECT_TYPES = { [0] = "disconnect", "shutdown" }
local ARGUMENT_TYPES = { [0] = "task", "objectID" }

local f = {
    -- ZMTP
    greeting = ProtoField.bytes("rescind.zmtp.greeting", "Greeting"),
    version = ProtoField.string("rescind.zmtp.version", "ZMTP version"),
    mechanism = ProtoField.string("rescind.zmtp.mechanism", "Security mechanism"),
    flags = ProtoField.uint8("rescind.zmtp.flags", "Flags", base.HEX),
    more = ProtoField.bool("rescind.zmtp.more", "More frames follow", 8, nil, 0x01),
    long = ProtoField.bool("rescind.zmtp.long", "Long size", 8, nil, 0x02),
    is_command = ProtoField.bool("rescind.zmtp.command", "Command", 8, nil, 0x04),
    length = ProtoField.uint64("rescind.zmtp.length", "Length"),
    command = ProtoField.string("rescind.zmtp.command_name", "Command"),
    socket_type = ProtoField.string("rescind.zmtp.socket_type", "Socket type"),
    identity = ProtoField.string("rescind.zmtp.identity", "Routing id"),
    property = ProtoField.string("rescind.zmtp.property", "Property"),
    frame = ProtoField.bytes("rescind.frame", "Frame"),
    -- who speaks
    peer = ProtoField.string("rescind.peer", "Peer"),
    to_scheduler = ProtoField.bool("rescind.to_scheduler", "To the scheduler"),
    -- messages
    member = ProtoField.uint16("rescind.member", "Member", base.DEC, MEMBERS),
    kind = ProtoField.string("rescind.kind", "Kind"),
    task_id = ProtoField.bytes("rescind.task_id", "Task id"),
    source = ProtoField.string("rescind.source", "Source"),
    metadata = ProtoField.bytes("rescind.metadata", "Metadata"),
    function_id = ProtoField.bytes("rescind.func_object_id", "Function object id"),
    argument = ProtoField.bytes("rescind.argument", "Argument"),
    argument_type = ProtoField.uint16("rescind.argument_type", "Argument type", base.DEC, ARGUMENT_TYPES),
    capability = ProtoField.string("rescind.capability", "Capability"),
    force = ProtoField.bool("rescind.force", "Force"),
    confirm_type = ProtoField.uint16("rescind.confirm_type", "Confirm type", base.DEC, CONFIRM_TYPES),
    result_type = ProtoField.uint16("rescind.result_type", "Result type", base.DEC, RESULT_TYPES),
    result = ProtoField.bytes("rescind.result", "Result object id"),
    log_type = ProtoField.uint16("rescind.log_type", "Log type", base.DEC, LOG_TYPES),
    content = ProtoField.string("rescind.content", "Content"),
    target = ProtoField.bytes("rescind.target", "Target"),
    nodes = ProtoField.uint32("rescind.nodes", "Nodes"),
    queue_size = ProtoField.uint32("rescind.queue_size", "Queue size"),
    queued_tasks = ProtoField.uint32("rescind.queued_tasks", "Queued tasks"),
    latency = ProtoField.uint32("rescind.latency", "Latency (microseconds)"),
    cpu = ProtoField.uint16("rescind.cpu", "CPU (tenths of a percent)"),
    rss = ProtoField.uint64("rescind.rss", "Resident memory (bytes)"),
    hostname = ProtoField.string("rescind.hostname", "Host name"),
    task_lock = ProtoField.bool("rescind.task_lock", "Task lock"),
    processors = ProtoField.uint32("rescind.processors", "Processors"),
    storage = ProtoField.string("rescind.storage", "Object storage address"),
    disconnect_type = ProtoField.uint16("rescind.disconnect_type", "Disconnect type", base.DEC, DISCONNECT_TYPES),
    accepted = ProtoField.bool("rescind.accepted", "Accepted"),
}
local fields = {}
for _, field in pairs(f) do
    fields[#fields + 1] = field
end
rescind.fields = fields

local e = {
    malformed = ProtoExpert.new("rescind.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR),
    frames = ProtoExpert.new("rescind.several_frames", "Not exactly one frame", expert.group.PROTOCOL, expert.severity.WARN),
    unknown = ProtoExpert.new("rescind.unknown", "Not known here", expert.group.UNDECODED, expert.severity.NOTE),
    framing = ProtoExpert.new("rescind.framing", "Not ZMTP 3", expert.group.MALFORMED, expert.severity.ERROR),
    encrypted = ProtoExpert.new("rescind.encrypted", "Encrypted", expert.group.UNDECODED, expert.severity.NOTE),
}
rescind.experts = { e.malformed, e.frames, e.unknown, e.framing, e.encrypted }

local p_longest = Pref.uint("Longest frame", 16 * 1024 * 1024, "Bytes; a longer frame is not put together.")
rescind.prefs.longest = p_longest

local GREETING = 64
local MOST_SEGMENTS = 512
local MOST_DEPTH = 64
local MOST_SHOWN = 200 -- elements of a list

-- What is told of a connection in the first pass over the capture, in the order of the packets, and kept for the later
-- ones, in which packets are shown in any order. By TCP stream and by the port that sends: a direction.
local directions = {}
local stream_field = Field.new("tcp.stream")

function rescind.init()
    directions = {}
end

local function direction_of(pinfo, reverse)
    local stream = stream_field()
    local port, other = pinfo.src_port, pinfo.dst_port
    if reverse then
        port, other = other, port
    end
    local key = tostring(stream and stream.value or 0) .. "/" .. tostring(port) .. "/" .. tostring(other)
    local found = directions[key]
    if not found then
        found = { identity = nil, socket_type = nil, mechanism = nil, more = {}, frames = 0, greeting_at = nil }
        directions[key] = found
    end
    return found
end

-- Cap'n Proto -----------------------------------------------------------------------------------------------------
-- Everything below may raise an error (a table with `text`) for a malformed message; it is caught in one place.

local function malformed(text)
    error({ text = text }, 0)
end

-- A place in a message: which segment, and which word of it.
local function segments_of(range)
    local size = range:len()
    if size < 8 then
        malformed(size == 0 and "an empty frame" or "the segment table is cut off")
    end
    local count = range(0, 4):le_uint() + 1
    if count > MOST_SEGMENTS then
        malformed(string.format("%.0f segments", count))
    end
    local table_bytes = math.floor((4 + 4 * count + 7) / 8) * 8
    if size < table_bytes then
        malformed("the segment table is cut off")
    end
    local segments, at = {}, table_bytes
    for number = 0, count - 1 do
        local words = range(4 + 4 * number, 4):le_uint()
        if at + words * 8 > size then
            malformed(string.format("cut off: %d bytes, and segment %d ends at %.0f", size, number, at + words * 8))
        end
        segments[number] = { offset = at, words = words }
        at = at + words * 8
    end
    if at ~= size then
        malformed(string.format("trailing bytes: %d after a message of %d", size - at, at))
    end
    return segments
end

local function word(message, segment, index)
    local part = message.segments[segment]
    if not part then
        malformed("a pointer leads to a segment that is not there")
    end
    if index < 0 or index >= part.words then
        malformed("a pointer leads out of its segment")
    end
    return part.offset + index * 8
end

local function check(message, segment, index, words)
    local part = message.segments[segment]
    if index < 0 or words < 0 or index + words > part.words then
        malformed("a pointer leads out of its segment")
    end
end

-- The two halves of a word; the first one signed.
local function halves(message, segment, index)
    local at = word(message, segment, index)
    return message.range(at, 4):le_int(), message.range(at + 4, 4):le_uint()
end

-- Follow far pointers: where the content begins, and the pointer that describes it.
local function resolve(message, segment, index)
    local low, high = halves(message, segment, index)
    if low % 4 ~= 2 then
        return segment, index + 1 + math.floor(low / 4), low, high
    end
    local far = low % 4294967296
    local landing, pad = high, math.floor(far / 8)
    if math.floor(far / 4) % 2 == 0 then
        local pad_low, pad_high = halves(message, landing, pad)
        if pad_low % 4 == 2 then
            malformed("a far pointer leads to a far pointer")
        end
        return landing, pad + 1 + math.floor(pad_low / 4), pad_low, pad_high
    end
    local first_low, first_high = halves(message, landing, pad)
    local tag_low, tag_high = halves(message, landing, pad + 1)
    if first_low % 4 ~= 2 or math.floor(first_low / 4) % 2 ~= 0 or tag_low % 4 == 2 then
        malformed("a double far pointer is wrong")
    end
    if not message.segments[first_high] then
        malformed("a pointer leads to a segment that is not there")
    end
    return first_high, math.floor((first_low % 4294967296) / 8), tag_low, tag_high
end

local function is_null(message, segment, index)
    local low, high = halves(message, segment, index)
    return low == 0 and high == 0
end

-- A struct: where its data are, how many words, and how many pointers. nil for a null pointer (a struct of defaults).
local function read_struct(message, segment, index, depth)
    if depth > MOST_DEPTH then
        malformed("pointers lie too deep")
    end
    if is_null(message, segment, index) then
        return nil
    end
    local at_segment, start, low, high = resolve(message, segment, index)
    if low % 4 ~= 0 then
        malformed("a pointer to a struct is of another kind")
    end
    local data, pointers = high % 65536, math.floor(high / 65536)
    check(message, at_segment, start, data + pointers)
    return { message = message, segment = at_segment, start = start, data = data, pointers = pointers, depth = depth }
end

-- A list: its elements' size code, their number, and where it begins.
local function read_list(message, segment, index)
    if is_null(message, segment, index) then
        return nil
    end
    local at_segment, start, low, high = resolve(message, segment, index)
    if low % 4 ~= 1 then
        malformed("a pointer to a list is of another kind")
    end
    return at_segment, start, high % 8, math.floor(high / 8)
end

-- Data, as a range of the frame, or nil if it is empty; and whether there is a pointer to it.
local function bytes_at(message, segment, index)
    local at_segment, start, code, count = read_list(message, segment, index)
    if not at_segment then
        return nil
    end
    if code ~= 2 then
        malformed("Data or Text is a list of something else")
    end
    check(message, at_segment, start, math.floor((count + 7) / 8))
    if count == 0 then
        return nil, true
    end
    return message.range(message.segments[at_segment].offset + start * 8, count), true
end

local function data_field(struct, pointer)
    if not struct or pointer >= struct.pointers then
        return nil
    end
    return bytes_at(struct.message, struct.segment, struct.start + struct.data + pointer)
end

-- Text: the range without its final NUL, and the string.
local function text_field(struct, pointer)
    local range, present = data_field(struct, pointer)
    if not present then
        return nil, ""
    end
    if not range or range(range:len() - 1, 1):uint() ~= 0 then
        malformed("a text has no final NUL")
    end
    if range:len() == 1 then
        return nil, ""
    end
    local text = range(0, range:len() - 1)
    return text, text:string(ENC_UTF_8)
end

local function struct_field(struct, pointer)
    if not struct or pointer >= struct.pointers then
        return nil
    end
    return read_struct(struct.message, struct.segment, struct.start + struct.data + pointer, struct.depth + 1)
end

-- A number of so many bytes at this byte of a struct's data: the range, nil where the struct is too short for it.
local function number_field(struct, byte, size)
    if not struct or byte + size > struct.data * 8 then
        return nil
    end
    return struct.message.range(struct.message.segments[struct.segment].offset + struct.start * 8 + byte, size)
end

local function uint_field(struct, byte, size)
    local range = number_field(struct, byte, size)
    return range and range:le_uint() or 0, range
end

local function bool_field(struct, bit)
    local range = number_field(struct, math.floor(bit / 8), 1)
    return range ~= nil and math.floor(range:uint() / 2 ^ (bit % 8)) % 2 == 1, range
end

-- The structs of a list; at most MOST_SHOWN of them, and how many there are.
local function structs_field(struct, pointer)
    if not struct or pointer >= struct.pointers then
        return {}, 0
    end
    local message, depth = struct.message, struct.depth + 1
    if depth > MOST_DEPTH then
        malformed("pointers lie too deep")
    end
    local segment, start, code, count = read_list(message, struct.segment, struct.start + struct.data + pointer)
    if not segment then
        return {}, 0
    end
    if code ~= 7 then
        malformed("a list of structs is a list of something else")
    end
    local low, high = halves(message, segment, start)
    if low % 4 ~= 0 then
        malformed("the tag of a list is wrong")
    end
    local elements = math.floor((low % 4294967296) / 4)
    local data, pointers = high % 65536, math.floor(high / 65536)
    check(message, segment, start + 1, count)
    if elements * (data + pointers) > count then
        malformed("a list has more elements than it has room for")
    end
    local found = {}
    for number = 0, math.min(elements, MOST_SHOWN) - 1 do
        found[#found + 1] = {
            message = message, segment = segment, start = start + 1 + number * (data + pointers),
            data = data, pointers = pointers, depth = depth,
        }
    end
    return found, elements
end

-- The Data of a list; at most MOST_SHOWN of them, and how many there are.
local function datas_field(struct, pointer)
    if not struct or pointer >= struct.pointers then
        return {}, 0
    end
    local message = struct.message
    local segment, start, code, count = read_list(message, struct.segment, struct.start + struct.data + pointer)
    if not segment then
        return {}, 0
    end
    if code ~= 6 then
        malformed("a list of Data is a list of something else")
    end
    check(message, segment, start, count)
    local found = {}
    for number = 0, math.min(count, MOST_SHOWN) - 1 do
        found[#found + 1] = bytes_at(message, segment, start + number) or false
    end
    return found, count
end

-- Messages --------------------------------------------------------------------------------------------------------

-- As the reader of a conversation wants it: the first four bytes in hexadecimal.
local function short(range)
    if not range then
        return "(no id)"
    end
    local hex = tostring(range(0, math.min(4, range:len())):bytes()):lower()
    return range:len() > 4 and hex .. "…" or hex
end

local function add_task_id(tree, struct, pointer)
    local range = data_field(struct, pointer or 0)
    if not range or range:len() > 255 then
        malformed(range and "a task id is longer than 255 bytes" or "a task id is empty")
    end
    tree:add(f.task_id, range)
    return short(range)
end

local function add_text(tree, field, struct, pointer)
    local range, text = text_field(struct, pointer)
    if range then
        tree:add(field, range, text)
    end
    return text
end

local function add_data(tree, field, struct, pointer)
    local range = data_field(struct, pointer)
    if range then
        tree:add(field, range)
    end
    return range
end

local function add_number(tree, field, struct, byte, size)
    local value, range = uint_field(struct, byte, size)
    if range then
        tree:add_le(field, range)
    else
        tree:add(field, value):set_generated()
    end
    return value
end

local function add_bool(tree, field, struct, bit)
    local value, range = bool_field(struct, bit)
    if range then
        tree:add(field, range, value)
    else
        tree:add(field, value):set_generated()
    end
    return value
end

local function add_enum(tree, field, names, struct, byte)
    local value = add_number(tree, field, struct, byte, 2)
    if not names[value] then
        tree:add_proto_expert_info(e.unknown, string.format("there is no type %d", value))
    end
    return names[value] or ("type " .. value)
end

local function printable(range)
    local text = range:string(ENC_UTF_8)
    return text:match("^[%g ]+$") and text or tostring(range:bytes()):lower()
end

local function add_task(tree, struct)
    local id = add_task_id(tree, struct)
    local source = data_field(struct, 1)
    if source then
        tree:add(f.source, source, printable(source))
    end
    add_data(tree, f.metadata, struct, 2)
    add_data(tree, f.function_id, struct, 3)
    for _, one in ipairs((structs_field(struct, 4))) do
        add_enum(tree, f.argument_type, ARGUMENT_TYPES, one, 0)
        add_data(tree, f.argument, one, 0)
    end
    for _, one in ipairs((structs_field(struct, 5))) do
        add_text(tree, f.capability, one, 0)
    end
    return id
end

local function add_resource(tree, struct)
    add_number(tree, f.cpu, struct, 0, 2)
    local range = number_field(struct, 8, 8)
    if range then
        tree:add_le(f.rss, range)
    end
end

local function add_echo(tree, body)
    local address = struct_field(body, 0)
    local _, host = text_field(address, 0)
    local port = uint_field(address, 0, 2)
    local _, scheme = text_field(address, 1)
    tree:add(f.storage, scheme .. "://" .. host .. (port > 0 and ":" .. port or ""))
    return ""
end

-- By member: adds the fields, and returns what is worth a word in the Info column.
local READERS = {
    [0] = function(tree, body)
        return add_task(tree, body)
    end,
    [1] = function(tree, body)
        local id = add_task_id(tree, body)
        return add_bool(tree, f.force, struct_field(body, 1), 0) and id .. " force" or id
    end,
    [2] = function(tree, body)
        local id = add_task_id(tree, body)
        return id .. " " .. add_enum(tree, f.confirm_type, CONFIRM_TYPES, body, 0)
    end,
    [3] = function(tree, body)
        local id = add_task_id(tree, body)
        local words = id .. " " .. add_enum(tree, f.result_type, RESULT_TYPES, body, 0)
        add_data(tree, f.metadata, body, 1)
        for _, one in ipairs((datas_field(body, 2))) do
            if one then
                tree:add(f.result, one)
            end
        end
        return words
    end,
    [4] = function(tree, body)
        local id = add_task_id(tree, body)
        local words = id .. " " .. add_enum(tree, f.log_type, LOG_TYPES, body, 0)
        add_text(tree, f.content, body, 1)
        return words
    end,
    [5] = function(tree, body)
        local id = add_task_id(tree, body)
        local source = data_field(body, 1)
        if source then
            tree:add(f.source, source, printable(source))
        end
        for _, one in ipairs((datas_field(body, 2))) do
            if one then
                tree:add(f.target, one)
            end
        end
        local nodes, count = structs_field(body, 3)
        tree:add(f.nodes, count)
        for number, one in ipairs(nodes) do
            add_task(tree:add(rescind, one.message.range, "Node " .. number), one)
        end
        return string.format("%s of %d tasks", id, count)
    end,
    [6] = function()
        return ""
    end,
    [7] = function(tree, body)
        add_resource(tree, struct_field(body, 0))
        add_number(tree, f.latency, body, 0, 4)
        add_text(tree, f.hostname, body, 1)
        return ""
    end,
    [8] = add_echo,
    [9] = function(tree, body)
        add_resource(tree, struct_field(body, 0))
        local size = add_number(tree, f.queue_size, body, 8, 4)
        add_number(tree, f.queued_tasks, body, 12, 4)
        add_number(tree, f.latency, body, 16, 4)
        add_bool(tree, f.task_lock, body, 160)
        local _, processors = structs_field(body, 1)
        tree:add(f.processors, processors)
        for _, one in ipairs((structs_field(body, 2))) do
            add_text(tree, f.capability, one, 0)
        end
        add_text(tree, f.hostname, body, 4)
        return "queueSize " .. size
    end,
    [10] = add_echo,
    [18] = function(tree, body)
        return add_enum(tree, f.disconnect_type, DISCONNECT_TYPES, body, 0)
    end,
    [19] = function(tree, body)
        return add_bool(tree, f.accepted, body, 0) and "accepted" or "refused"
    end,
    [26] = function()
        return ""
    end,
}

local function read_message(range, tree)
    local message = { range = range, segments = segments_of(range) }
    if message.segments[0].words == 0 then
        malformed("there is no root")
    end
    local root = read_struct(message, 0, 0, 1)
    local member, where = uint_field(root, 0, 2)
    local name = MEMBERS[member]
    if where then
        tree:add_le(f.member, where)
    else
        tree:add(f.member, member):set_generated()
    end
    local reader = READERS[member]
    if not reader then
        tree:add(f.kind, name or ("member " .. member)):set_generated()
        tree:add_proto_expert_info(e.unknown, "this protocol does not use this member")
        return (name or ("member " .. member)) .. " (unknown)"
    end
    local words = reader(tree, struct_field(root, 0))
    tree:add(f.kind, name):set_generated()
    return words == "" and name or (name .. " " .. words)
end

-- A frame of a message; what to say of it.
local function dissect_message(range, tree)
    local sound, said = pcall(read_message, range, tree)
    if sound then
        return said
    end
    local text = type(said) == "table" and said.text or tostring(said)
    tree:add_proto_expert_info(e.malformed, text)
    tree:add(f.kind, "malformed"):set_generated()
    return "malformed: " .. text
end

-- ZMTP ------------------------------------------------------------------------------------------------------------

local function dissect_greeting(range, tree, direction)
    tree:add(f.greeting, range)
    tree:add(f.version, range(10, 2), string.format("%d.%d", range(10, 1):uint(), range(11, 1):uint()))
    local mechanism = range(12, 20):stringz()
    tree:add(f.mechanism, range(12, 20), mechanism)
    direction.mechanism = mechanism
    return string.format("greeting ZMTP %d.%d %s", range(10, 1):uint(), range(11, 1):uint(), mechanism)
end

local function dissect_ready(range, tree, direction)
    local at, size, words = 6, range:len(), "READY"
    while at < size do
        local name_length = range(at, 1):uint()
        local value_at = at + 1 + name_length + 4
        if value_at > size then
            malformed("a property is cut off")
        end
        local name = range(at + 1, name_length):string()
        local length = range(value_at - 4, 4):uint()
        if value_at + length > size then
            malformed("a property is cut off")
        end
        local value = length > 0 and printable(range(value_at, length)) or ""
        local lower = name:lower()
        if lower == "socket-type" then
            direction.socket_type = value
            tree:add(f.socket_type, range(at, value_at + length - at), value)
            words = words .. " " .. value
        elseif lower == "identity" then
            direction.identity = value
            tree:add(f.identity, range(at, value_at + length - at), value)
            if value ~= "" then
                words = words .. " " .. value
            end
        else
            tree:add(f.property, range(at, value_at + length - at), name .. ": " .. value)
        end
        at = value_at + length
    end
    return words
end

local function dissect_command(range, tree, direction)
    local sound, said = pcall(function()
        local length = range(0, 1):uint()
        if range:len() < 1 + length then
            malformed("a command is cut off")
        end
        local name = range(1, length):string()
        tree:add(f.command, range(0, 1 + length), name)
        return name == "READY" and dissect_ready(range, tree, direction) or name
    end)
    if sound then
        return said
    end
    tree:add_proto_expert_info(e.framing, type(said) == "table" and said.text or tostring(said))
    return "malformed command"
end

-- Who speaks to whom, as far as is known: the short form of a routing id, as `Client|name|hex`.
local function ends_of(direction, reverse)
    local function name(one)
        if one.socket_type == "ROUTER" then
            return "scheduler"
        end
        if one.identity and one.identity ~= "" then
            local role, its_name, hex = one.identity:match("^(%w+)|([^|]*)|(%x+)$")
            return role and #hex > 4 and (role .. "|" .. its_name .. "|" .. hex:sub(1, 4) .. "…") or one.identity
        end
        return nil
    end
    local from, to = name(direction), name(reverse)
    if from == nil and to == nil then
        return nil
    end
    return (from or (to == "scheduler" and "peer" or "scheduler")), (to or (from == "scheduler" and "peer" or "scheduler"))
end

-- One frame at `offset`. Returns its length, or nil and how many bytes are missing (-1: not known), or false and why.
local function frame_at(buffer, offset)
    local left = buffer:len() - offset
    if left < 2 then
        return nil, -1
    end
    local flags = buffer(offset, 1):uint()
    if flags > 7 then
        return false, string.format("flags 0x%02x", flags)
    end
    local head = math.floor(flags / 2) % 2 == 1 and 9 or 2
    if left < head then
        return nil, -1
    end
    local length
    if head == 9 then
        length = buffer(offset + 1, 4):uint() * 4294967296 + buffer(offset + 5, 4):uint()
    else
        length = buffer(offset + 1, 1):uint()
    end
    if length > rescind.prefs.longest then
        return false, string.format("a frame of %.0f bytes", length)
    end
    if left < head + length then
        return nil, head + length - left
    end
    return head + length, head, flags
end

local function is_greeting(buffer, offset)
    local left = buffer:len() - offset
    if left < 10 then
        return left > 0 and buffer(offset, 1):uint() == 0xFF
    end
    return buffer(offset, 1):uint() == 0xFF and buffer(offset + 9, 1):uint() % 2 == 1
end

local function dissect_frame(buffer, offset, length, head, flags, tree, direction, where)
    local whole, body = buffer(offset, length), length > head and buffer(offset + head, length - head) or nil
    local part = tree:add(rescind, whole)
    local flag_tree = part:add(f.flags, buffer(offset, 1))
    flag_tree:add(f.more, buffer(offset, 1))
    flag_tree:add(f.long, buffer(offset, 1))
    flag_tree:add(f.is_command, buffer(offset, 1))
    part:add(f.length, buffer(offset + 1, head - 1), UInt64(length - head))
    local said
    if flags >= 4 then
        said = body and dissect_command(body, part, direction) or "an empty command"
    else
        -- Whether it goes on with a message is told once, in the first pass.
        if direction.more[where] == nil then
            direction.more[where] = direction.frames
            direction.frames = flags % 2 == 1 and direction.frames + 1 or 0
        end
        local before = direction.more[where]
        if before > 0 or flags % 2 == 1 then
            if body then
                part:add(f.frame, body)
            end
            part:add_proto_expert_info(e.frames)
            said = string.format("frame %d of several", before + 1)
        elseif direction.mechanism and direction.mechanism ~= "NULL" and direction.mechanism ~= "PLAIN" then
            part:add_proto_expert_info(e.encrypted)
            said = "encrypted"
        elseif body then
            said = dissect_message(body, part)
        else
            part:add_proto_expert_info(e.malformed, "an empty frame")
            part:add(f.kind, "malformed"):set_generated()
            said = "malformed: an empty frame"
        end
    end
    part:set_text("Task Cancellation Protocol: " .. said)
    return said, part
end

local function say_ends(part, direction, reverse)
    local from, to = ends_of(direction, reverse)
    if not from then
        return ""
    end
    local to_scheduler = to == "scheduler"
    local peer = to_scheduler and direction.identity or reverse.identity
    if peer and peer ~= "" then
        part:add(f.peer, peer):set_generated()
    end
    part:add(f.to_scheduler, to_scheduler):set_generated()
    return from .. " → " .. to .. "  "
end

function rescind.dissector(buffer, pinfo, tree)
    local direction, reverse = direction_of(pinfo, false), direction_of(pinfo, true)
    local offset, words, ends = 0, {}, ""
    pinfo.cols.protocol = "RESCIND"
    while offset < buffer:len() do
        local where = pinfo.number .. "/" .. offset .. "/" .. buffer:len()
        local said, part
        if (direction.greeting_at == nil or direction.greeting_at == where) and is_greeting(buffer, offset) then
            if buffer:len() - offset < GREETING then
                pinfo.desegment_offset = offset
                pinfo.desegment_len = GREETING - (buffer:len() - offset)
                break
            end
            part = tree:add(rescind, buffer(offset, GREETING))
            said = dissect_greeting(buffer(offset, GREETING), part, direction)
            part:set_text("Task Cancellation Protocol: " .. said)
            direction.greeting_at = where
            offset = offset + GREETING
        else
            local length, head, flags = frame_at(buffer, offset)
            if length == nil then
                pinfo.desegment_offset = offset
                pinfo.desegment_len = head == -1 and DESEGMENT_ONE_MORE_SEGMENT or head
                break
            end
            if length == false then
                part = tree:add(rescind, buffer(offset))
                part:add_proto_expert_info(e.framing, head)
                said = "not ZMTP 3: " .. head
                offset = buffer:len()
            else
                said, part = dissect_frame(buffer, offset, length, head, flags, tree, direction, where)
                offset = offset + length
            end
        end
        ends = say_ends(part, direction, reverse)
        words[#words + 1] = said
    end
    if #words > 0 then
        -- For what ends in a packet and what begins there this is called twice: the second time adds to the column.
        if pinfo.private["rescind"] then
            pinfo.cols.info:append(", " .. table.concat(words, ", "))
        else
            pinfo.cols.info:set(ends .. table.concat(words, ", "))
        end
        pinfo.cols.info:fence()
        pinfo.private["rescind"] = "said"
    end
    return buffer:len()
end

-- A connection that begins with a greeting is ours if nobody else claims it. ZeroMQ sends the first ten or eleven bytes
-- of the greeting alone.
local function heuristic(buffer, pinfo, tree)
    if buffer:len() < 10 or buffer(0, 1):uint() ~= 0xFF or buffer(9, 1):uint() ~= 0x7F then
        return false
    end
    if buffer(1, 4):uint() ~= 0 or (buffer:len() > 10 and buffer(10, 1):uint() < 3) then
        return false
    end
    pinfo.conversation = rescind
    rescind.dissector(buffer, pinfo, tree)
    return true
end

rescind:register_heuristic("tcp", heuristic)
DissectorTable.get("tcp.port"):add_for_decode_as(rescind)
