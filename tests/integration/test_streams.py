"""Streams (RFC 6120 §4, §5, §11): exact bytes, and the stream error that they must get."""
import socket

from suite import accounts, check, client as made, daemon, private
from xmpp import condition_of, Closed, NS_STREAM, NS_TLS, XmppError

HEADER = ("<stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='" + NS_STREAM + "'>")


def raw(t):
    """A connection without TLS."""
    return t.client('juliet').connect()


def error_after(client, data, *expected):
    """Sends the bytes; the stream must end with one of the conditions."""
    client.send(data)
    condition = client.wait_closed()
    check(condition in expected, 'the stream ended with %s, expected %s' % (condition, ' or '.join(expected)))


def secure(t):
    client = t.client('juliet').connect()
    client.secure()
    client.authenticate()
    client.bind()
    return client


@accounts('juliet')
def test_header_has_id_from_and_version(t):
    """RFC 6120 §4.7: the answer's header carries from, a unique id and version 1.0"""
    ids = []
    for _ in range(2):
        client = raw(t)
        client.open()
        head = client.stream.header
        check(head.get('from') == t.host, 'from is %r' % head.get('from'))
        check(head.get('version') == '1.0', 'version is %r' % head.get('version'))
        ids.append(head.get('id'))
    check(all(ids) and ids[0] != ids[1], 'ids %r' % ids)


@accounts('juliet')
def test_starttls_is_required(t):
    """RFC 6120 §5.3.1: before TLS only STARTTLS is offered, and it is required"""
    client = raw(t)
    features = client.open()
    check(features.find('{%s}starttls/{%s}required' % (NS_TLS, NS_TLS)) is not None, 'STARTTLS is not required')
    check(client.mechanisms() == [], 'mechanisms are offered without TLS')


@accounts('juliet')
def test_stanza_before_authentication(t):
    """RFC 6120 §4.9.3.12: a stanza before authentication is not-authorized"""
    client = t.client('juliet')
    client.secure()
    error_after(client, "<message to='%s'><body>x</body></message>" % t.bare('romeo') if 'romeo' in t.users
                else "<message to='x@%s'><body>x</body></message>" % t.host, 'not-authorized')


@accounts('juliet')
def test_unknown_host(t):
    """RFC 6120 §4.9.3.6: a stream to a host that is not ours is host-unknown"""
    error_after(raw(t), HEADER % 'nowhere.example', 'host-unknown')


@accounts('juliet')
def test_wrong_stream_namespace(t):
    """RFC 6120 §4.9.3.10: a wrong namespace of the stream is invalid-namespace"""
    error_after(raw(t), "<stream:stream to='%s' version='1.0' xmlns='jabber:client' xmlns:stream='urn:x'>" % t.host,
                'invalid-namespace', 'bad-format')


HEADERS = (
    ("<stream:stream xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'host-unknown'),          # §4.7.2
    ("<stream:stream to='@' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'improper-addressing'),
    ("<stream:stream to='x@%(host)s' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'host-unknown'),
    ("<stream:stream to='%(host)s' from='x@elsewhere.example' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>",
     'invalid-from'),                                                                                       # §4.9.3.9
    ("<stream:stream to='%(host)s' from='@' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'invalid-from'),
    ("<stream:stream to='%(host)s' xmlns='jabber:server' version='1.0' xmlns:stream='%(ns)s'>", 'invalid-namespace'),
    ("<stream:stream to='%(host)s' version='1.0' xmlns:stream='%(ns)s'>", 'invalid-namespace'),
    ("<stream:streams to='%(host)s' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'bad-format'),
    ("<stream:stream to='%(host)s' xmlns='jabber:client' xmlns:stream='%(ns)s'>", 'unsupported-version'),  # §4.7.5
    ("<stream:stream to='%(host)s' xmlns='jabber:client' version='0.9' xmlns:stream='%(ns)s'>", 'unsupported-version'),
    ("<flash:stream to='%(host)s' xmlns='jabber:client' version='1.0' xmlns:stream='%(ns)s'>", 'bad-namespace-prefix'),
)


@accounts('juliet')
def test_every_error_of_a_header(t):
    """RFC 6120 §4.9.1.2, §4.9.3: a header that will not do gets ours, with an id, then the error that says why"""
    for header, expected in HEADERS:
        client = raw(t)
        error_after(client, header % {'host': t.host, 'ns': NS_STREAM}, expected)
        check(client.stream.header is not None and client.stream.header.get('id'), 'no header before %s' % expected)
        check(client.stream.ended, 'no closing tag after %s' % expected)


@accounts('juliet')
def test_later_version(t):
    """RFC 6120 §4.7.5: to a higher minor version than ours the answer is 1.0"""
    client = raw(t)
    client.open("<stream:stream to='%s' version='1.7' xmlns='jabber:client' xmlns:stream='%s'>" % (t.host, NS_STREAM))
    check(client.stream.header.get('version') == '1.0', 'version is %r' % client.stream.header.get('version'))


@accounts('juliet')
def test_bad_namespace_prefix(t):
    """RFC 6120 §4.9.3.2: a prefix that nothing declares"""
    error_after(secure(t), "<foo:message to='%s'/>" % t.host, 'bad-namespace-prefix')
    error_after(secure(t), "<message to='%s' foo:bar='x'/>" % t.host, 'bad-namespace-prefix')


@accounts()
def test_system_shutdown(t):
    """RFC 6120 §4.9.3.20: a server that is stopped says so to those who are connected"""
    with daemon(t) as server:
        juliet, romeo = made(t, server, 'juliet').login(), made(t, server, 'romeo').connect()
        romeo.open()
        server.stop()
        for client in (juliet, romeo):
            condition = client.wait_closed()
            check(condition == 'system-shutdown', 'the stream ended with %s' % condition)


@accounts('juliet')
def test_not_well_formed(t):
    """RFC 6120 §4.9.3.13: broken XML is not-well-formed"""
    client = secure(t)
    error_after(client, '<message><body>x</message>', 'not-well-formed')


@accounts('juliet')
def test_comment_is_restricted(t):
    """RFC 6120 §11.1: a comment is restricted-xml"""
    error_after(secure(t), '<message><!-- no --></message>', 'restricted-xml')


@accounts('juliet')
def test_processing_instruction_is_restricted(t):
    """RFC 6120 §11.1: a processing instruction is restricted-xml"""
    error_after(secure(t), '<message><?php x?></message>', 'restricted-xml')


@accounts('juliet')
def test_doctype_is_restricted(t):
    """RFC 6120 §11.1: a DTD is restricted-xml, before anything in it is looked at"""
    error_after(raw(t), "<?xml version='1.0'?><!DOCTYPE lolz [<!ENTITY lol 'lol'>]>" + HEADER % t.host,
                'restricted-xml', 'not-well-formed')


@accounts('juliet')
def test_entity_reference_is_restricted(t):
    """RFC 6120 §11.1: an entity other than the five of XML is refused"""
    error_after(secure(t), '<message><body>&foo;</body></message>', 'restricted-xml', 'not-well-formed')


@accounts('juliet')
def test_predefined_entities_pass(t):
    """RFC 6120 §11.1: the five entities and character references of XML pass"""
    client = secure(t)
    client.send("<message to='%s' id='e1'><body>&lt;&amp;&gt;&apos;&quot;&#233;</body></message>" % client.jid)
    got = client.stanza()
    check(got.findtext('{jabber:client}body') == '<&>\'"é', 'body is %r' % got.findtext('{jabber:client}body'))


@accounts('juliet')
def test_bad_utf8(t):
    """RFC 6120 §11.6: what is not UTF-8 ends the stream"""
    error_after(secure(t), b'<message><body>\xc3\x28</body></message>', 'not-well-formed', 'unsupported-encoding',
                'bad-format')


@accounts('juliet')
def test_utf16_is_unsupported(t):
    """RFC 6120 §4.9.3.22: another encoding is unsupported-encoding"""
    error_after(raw(t), "<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER % t.host, 'unsupported-encoding',
                'not-well-formed')


@accounts('juliet')
def test_unknown_first_level_element(t):
    """RFC 6120 §4.9.3.24: an element that is no stanza is unsupported-stanza-type"""
    error_after(secure(t), "<pubsub xmlns='jabber:client'/>", 'unsupported-stanza-type')


@accounts('juliet')
def test_too_large_before_authentication(t):
    """RFC 6120 §13.12: more than 10,000 bytes before authentication are too many"""
    client = raw(t)
    client.open()
    error_after(client, "<auth xmlns='urn:x'>" + 'A' * 20000 + '</auth>', 'policy-violation')


@accounts('juliet')
def test_too_large_stanza(t):
    """RFC 6120 §4.9.3.14: a stanza above the limit is a policy-violation"""
    client = secure(t)
    try:
        client.send("<message to='%s'><body>" % client.jid + 'A' * 600000 + '</body></message>')
    except Closed:
        pass
    condition = client.wait_closed()
    check(condition in ('policy-violation', None), 'the stream ended with %s' % condition)


@accounts('juliet')
def test_too_deep(t):
    """RFC 6120 §13.12: a stanza nested too deep is a policy-violation"""
    error_after(secure(t), "<message>" + "<a xmlns='urn:x'>" * 300, 'policy-violation')


@accounts('juliet')
def test_byte_by_byte(t):
    """RFC 6120 §4: bytes may arrive one at a time"""
    client = secure(t)
    for byte in ("<iq type='get' id='b1' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % t.host).encode():
        client.sock.sendall(bytes((byte,)))
    got = client.stanza()
    check(got.get('id') == 'b1' and got.get('type') == 'result', 'no answer')


@accounts('juliet')
def test_pipelined_after_starttls(t):
    """RFC 6120 §5.4.3.3: what follows starttls in clear is never taken for a part of the encrypted stream"""
    client = raw(t)
    client.open()
    client.send("<starttls xmlns='%s'/><iq type='get' id='inj'><ping xmlns='urn:xmpp:ping'/></iq>" % NS_TLS)
    try:
        answer = client.next()
        if answer.tag == '{%s}proceed' % NS_TLS:
            client.start_tls(alpn=None)
            client.open()
            client.authenticate()
            client.bind()
            client.ping('after')
    except (XmppError, OSError):
        return
    check(not client.queue, 'something was injected')


@accounts('juliet')
def test_orderly_close(t):
    """RFC 6120 §4.4: the closing tag is answered with one"""
    client = secure(t)
    client.send('</stream:stream>')
    check(client.wait_closed() is None, 'an error at the orderly end')
    check(client.stream.ended, 'no closing tag')


@accounts('juliet')
def test_error_of_the_peer(t):
    """RFC 6120 §4.9.1.1: who ends with a stream error gets the closing tag, and no error in return"""
    error = "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
    bound, new = secure(t), raw(t)
    new.open()
    for client in (bound, new):
        client.send(error)
        check(client.wait_closed() is None and client.stream.ended, 'an error is answered with an error')


@accounts('juliet')
def test_bind_once_more(t):
    """RFC 6120 §7.7: a second resource on a stream is not-allowed, and the first one stays"""
    client = secure(t)
    client.send("<iq type='set' id='b2'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>x</resource></bind></iq>")
    answer = client.wait_for(lambda e: e.get('id') == 'b2')
    check(answer.get('type') == 'error' and condition_of(answer.find('{jabber:client}error')) == 'not-allowed', 'no error')
    client.ping('still')


@accounts('juliet')
def test_http_on_the_port(t):
    """A web browser that comes to the port is sent away at once"""
    sock = socket.create_connection((t.client('juliet').address, t.server.port), timeout=5)
    sock.sendall(b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    data = b''
    try:
        while True:
            more = sock.recv(4096)
            if not more:
                break
            data += more
    except ConnectionResetError:
        pass
    sock.close()
    check(len(data) < 2000, 'a long answer to HTTP')


@accounts('juliet')
def test_direct_tls(t):
    """XEP-0368: direct TLS with ALPN xmpp-client; no STARTTLS inside"""
    client = t.client('juliet', direct_tls=True)
    features = client.secure()
    check(features.find('{%s}starttls' % NS_TLS) is None, 'STARTTLS within TLS')
    check(client.sock.selected_alpn_protocol() == 'xmpp-client', 'ALPN is %r' % client.sock.selected_alpn_protocol())
    client.authenticate()
    client.bind()
    client.ping('p')


@accounts('juliet')
def test_limits_are_advertised(t):
    """XEP-0478: the largest stanza is advertised in the features"""
    client = t.client('juliet')
    client.secure()
    client.authenticate()
    limits = client.features.find('{urn:xmpp:stream-limits:0}limits')
    check(limits is not None, 'no limits in the features')
    check(int(limits.findtext('{urn:xmpp:stream-limits:0}max-bytes')) >= 10000, 'max-bytes')


@accounts('juliet')
def test_features_after_authentication(t):
    """RFC 6120 §7.3, RFC 6121 §2.6.1, §3.4, XEP-0198 §3, XEP-0352 §4.1: what a known client may negotiate, and before it none of that"""
    client = t.client('juliet')
    later = ['{urn:ietf:params:xml:ns:xmpp-bind}bind', '{urn:ietf:params:xml:ns:xmpp-session}session', '{urn:xmpp:sm:3}sm',
             '{urn:xmpp:features:rosterver}ver', '{urn:xmpp:features:pre-approval}sub', '{urn:xmpp:csi:0}csi']
    client.secure()
    early = client.features
    client.authenticate()
    for name in later:
        check(early.find(name) is None, '%s is offered before authentication' % name)
        check(client.features.find(name) is not None, '%s is not offered' % name)
    check(client.mechanisms() == [], 'mechanisms are offered to who is known')
    sizes = [int(each.findtext('{urn:xmpp:stream-limits:0}limits/{urn:xmpp:stream-limits:0}max-bytes'))
             for each in (early, client.features)]
    check(10000 <= sizes[0] <= sizes[1], 'limits %s' % sizes)


@accounts('juliet')
def test_caps_in_the_features(t):
    """XEP-0115 §6.2: the server's hash stands in the features, and its node answers disco#info"""
    client = t.login('juliet')
    caps = client.features.find('{http://jabber.org/protocol/caps}c')
    check(caps is not None and caps.get('hash') == 'sha-1', 'no caps')
    node = '%s#%s' % (caps.get('node'), caps.get('ver'))
    client.send("<iq type='get' id='n1' to='%s'><query xmlns='http://jabber.org/protocol/disco#info' node='%s'/></iq>"
                % (t.host, node))
    got = client.wait_for(lambda e: e.get('id') == 'n1')
    check(got.get('type') == 'result', 'the node is unknown')
    check(got[0].get('node') == node, 'the answer names another node')


@private(hosts__localhost__registration=True)
@accounts('romeo')
def test_registration(t):
    """XEP-0077: where the host allows it, an account can be made and used in-band"""
    client = t.client('romeo').connect()
    features = client.secure()
    check(features.find('{http://jabber.org/features/iq-register}register') is not None, 'not offered')
    client.send("<iq type='get' id='r1'><query xmlns='jabber:iq:register'/></iq>")
    form = client.stanza()
    query = form.find('{jabber:iq:register}query')
    check(form.get('type') == 'result' and query.find('{jabber:iq:register}username') is not None, 'no form')
    client.send("<iq type='set' id='r2'><query xmlns='jabber:iq:register'><username>rosaline</username>"
                "<password>moonlight</password></query></iq>")
    check(client.stanza().get('type') == 'result', 'not registered')
    client.cut()
    rosaline = t.client('romeo')
    rosaline.user, rosaline.password = 'rosaline', 'moonlight'
    rosaline.login()
    again = t.client('romeo').connect()
    again.secure()
    again.send("<iq type='set' id='r3'><query xmlns='jabber:iq:register'><username>rosaline</username>"
               "<password>other</password></query></iq>")
    got = again.stanza()
    check(got.get('type') == 'error' and got.find('.//{urn:ietf:params:xml:ns:xmpp-stanzas}conflict') is not None,
          'the name was given twice')


@accounts('juliet')
def test_registration_is_off(t):
    """XEP-0077: by default nobody can make an account in-band"""
    client = t.client('juliet').connect()
    features = client.secure()
    check(features.find('{http://jabber.org/features/iq-register}register') is None, 'offered')


@accounts('juliet')
def test_resource_conflict(t):
    """RFC 6120 §7.7.2.2: binding a resource again ends the old stream with conflict, or gives another resource"""
    first = t.login('juliet', resource='one')
    second = t.login('juliet', presence=False, resource='one')
    if second.jid == first.jid:
        condition = first.wait_closed()
        check(condition == 'conflict', 'the old stream ended with %s' % condition)
    second.ping('p')


def header(host, more=''):
    return ("<?xml version='1.0'?><stream:stream to='%s' version='1.0' %s xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>" % (host, more))


@accounts('juliet')
def test_header_says_to_whom(t):
    """RFC 6120 §4.7.2: the response has 'to' where the header had 'from', as a bare JID; else none"""
    for given, wanted in (("from='%s'" % t.bare('juliet'), t.bare('juliet')), ("from='%s/x'" % t.bare('juliet'), t.bare('juliet')),
                          ('', None), ("from=''", None)):
        one = t.client('juliet').connect()
        one.open(header(one.host, given))
        check(one.stream.header.get('to') == wanted, '%r: to is %r' % (given, one.stream.header.get('to')))
        one.close()


@accounts('juliet')
def test_too_many_binds(t):
    """RFC 6120 §7.7.3: five resources that cannot be are answered with an error, the sixth ends the stream; the sixth may be a good one"""
    bad = ("<iq type='set' id='b%d'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>\u00a0\u202e</resource></bind></iq>")
    for good in (True, False):
        one = t.client('juliet').connect()
        one.secure()
        one.authenticate()
        for i in range(5):
            one.send(bad % i)
            answer = one.wait_for(lambda e: e.get('id') == 'b%d' % i)
            check(answer.get('type') == 'error', 'the resource was taken')
        if good:
            one.bind()
            one.ping('p')
            one.close()
        else:
            one.send(bad % 5)
            check(one.wait_closed() == 'policy-violation', 'another end')


@accounts('juliet', 'romeo')
def test_language_of_the_stream(t):
    """RFC 6120 §4.7.4, §8.1.5: what a client sends is in the language of its stream, unless it says another"""
    juliet, romeo = t.client('juliet'), t.login('romeo')
    for lang, wanted in (('de-CH', 'de-CH'), ('en', None), ('no language!', None)):
        juliet = t.client('juliet').connect()
        plain = juliet.open
        juliet.open = lambda said=None, lang=lang, plain=plain, one=juliet: plain(said or header(one.host, "xml:lang='%s'" % lang))
        juliet.secure()
        juliet.authenticate()
        juliet.bind()
        juliet.send("<message to='%s' type='chat' id='m1'><body>x</body></message>"
                    "<message to='%s' type='chat' id='m2' xml:lang='fr'><body>x</body></message>" % (romeo.jid, romeo.jid))
        for ident, which in (('m1', wanted), ('m2', 'fr')):
            got = romeo.wait_for(lambda e: e.get('id') == ident)
            got = got.get('{http://www.w3.org/XML/1998/namespace}lang')
            check(got == which, '%s: %r instead of %r' % (lang, got, which))
        juliet.close()
