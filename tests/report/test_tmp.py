import shutil
from echosynth.stages.report import build
def test_x(tree, params):
    import time; t=time.time(); print(build(params)); print(time.time()-t)
    shutil.rmtree('/tmp/w/report_out', ignore_errors=True)
    shutil.copytree(tree, '/tmp/w/report_out')
