-- Several messages on one connection are told apart: HELO twice, recipients, fields and queue ids.
-- Wanted: -D socket=ADDRESS

-- miltertest keeps the text of an error to itself.
local function fail(text)
    mt.echo(text)
    error(text)
end

local function must(what, failed)
    if failed ~= nil then fail(what .. ": " .. failed) end
end

local conn = mt.connect(socket)
if conn == nil then fail("nobody listens") end
must("negotiate", mt.negotiate(conn, nil, nil, nil))
mt.macro(conn, SMFIC_CONNECT, "j", "mx.alpha.example", "{daemon_name}", "ORIGINATING")
must("connect", mt.conninfo(conn, "client.example", "192.0.2.7"))
must("helo", mt.helo(conn, "before-starttls.example"))
must("second helo", mt.helo(conn, "after-starttls.example"))

for number = 1, 3 do
    must("mail", mt.mailfrom(conn, "<alice@alpha.example>", "BODY=8BITMIME", "SIZE=1000"))
    mt.macro(conn, SMFIC_RCPT, "i", "SEVERAL" .. number)
    must("rcpt", mt.rcptto(conn, "<r" .. number .. "@beta.example>", "NOTIFY=NEVER"))
    if number == 2 then
        must("second rcpt", mt.rcptto(conn, "<carol@alpha.example>"))
    end
    must("header", mt.header(conn, "From", " alice@alpha.example"))
    must("header", mt.header(conn, "Message-ID", " <several." .. number .. "@client.example>"))
    must("body", mt.bodystring(conn, "message " .. number .. "\r\n"))
    must("end", mt.eom(conn))
    if mt.getreply(conn) ~= SMFIR_CONTINUE then fail("message " .. number .. " does not pass") end
    if mt.eom_check(conn, MT_BODYCHANGE) or mt.eom_check(conn, MT_HDRINSERT) then
        fail("message " .. number .. " was changed")
    end
end
mt.disconnect(conn)
