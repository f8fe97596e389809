"""The embedded demo data: simulated echocardiograms in the layouts of the public releases."""
