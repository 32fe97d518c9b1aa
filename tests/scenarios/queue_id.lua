-- Postfix gives a message its queue id at the first recipient, Sendmail at MAIL, others never.
-- Wanted: -D socket=ADDRESS

-- miltertest keeps the text of an error to itself.
local function fail(text)
    mt.echo(text)
    error(text)
end

local function must(what, failed)
    if failed ~= nil then fail(what .. ": " .. failed) end
end

local function message(conn, id, at)
    if at == "mail" then mt.macro(conn, SMFIC_MAIL, "i", id) end
    must("mail", mt.mailfrom(conn, "<alice@alpha.example>"))
    if at == "rcpt" then mt.macro(conn, SMFIC_RCPT, "i", id) end
    must("rcpt", mt.rcptto(conn, "<bob@beta.example>"))
    must("header", mt.header(conn, "Message-ID", " <" .. id .. "@client.example>"))
    must("body", mt.bodystring(conn, "hello\r\n"))
    must("end", mt.eom(conn))
    if mt.getreply(conn) ~= SMFIR_CONTINUE then fail(id .. " does not pass") end
end

local conn = mt.connect(socket)
if conn == nil then fail("nobody listens") end
must("negotiate", mt.negotiate(conn, nil, nil, nil))
must("connect", mt.conninfo(conn, "client.example", "127.0.0.1"))
must("helo", mt.helo(conn, "client.example"))
for _, at in ipairs({ "never", "rcpt", "mail" }) do
    message(conn, "TOLD-AT-" .. at, at)
end
mt.disconnect(conn)
