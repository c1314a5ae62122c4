"""XEP-0198 before it may begin."""
from suite import accounts, check
from xmpp import NS_SM, local


@accounts('juliet')
def test_enable_before_authentication(t):
    """XEP-0198 §3, §5: before authentication neither enabling nor resuming is possible; the stream goes on"""
    client = t.client('juliet').connect()
    client.secure()
    for request in ("<enable xmlns='%s'/>" % NS_SM, "<resume xmlns='%s' previd='1.x' h='0'/>" % NS_SM):
        client.send(request)
        answer = client.next()
        check(local(answer) == 'failed' and local(answer[0]) == 'unexpected-request', 'got %s' % local(answer))
    client.authenticate()
    client.bind()
    client.close()
