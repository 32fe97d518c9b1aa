-- An MTA that tells the least it can: no macro at all, no HELO, an unknown client; then a message of
-- header fields only, one without a header, one without recipients.
-- Wanted: -D socket=ADDRESS

-- miltertest keeps the text of an error to itself.
local function fail(text)
    mt.echo(text)
    error(text)
end

local function must(what, failed)
    if failed ~= nil then fail(what .. ": " .. failed) end
end

local function passes(conn, what)
    must("end of " .. what, mt.eom(conn))
    if mt.getreply(conn) ~= SMFIR_CONTINUE then fail(what .. " does not pass") end
    if mt.eom_check(conn, MT_BODYCHANGE) then fail(what .. ": the body was changed") end
end

local conn = mt.connect(socket)
if conn == nil then fail("nobody listens") end
must("negotiate", mt.negotiate(conn, nil, nil, nil))
must("connect", mt.conninfo(conn, "unknown", "unspec"))

must("mail", mt.mailfrom(conn, "<>"))
must("rcpt", mt.rcptto(conn, "<bob@alpha.example>"))
must("header", mt.header(conn, "Message-ID", " <bare.header-only@client.example>"))
passes(conn, "a message of header fields only")

must("mail", mt.mailfrom(conn, "<stranger@beta.example>"))
must("rcpt", mt.rcptto(conn, "<bob@alpha.example>"))
must("body", mt.bodystring(conn, "no header\r\n"))
passes(conn, "a message without a header")

must("mail", mt.mailfrom(conn, "<stranger@beta.example>"))
must("rcpt", mt.rcptto(conn, "<bob@alpha.example>"))
passes(conn, "a message of nothing")
mt.disconnect(conn)
