package main

func revokeSuite(o *options, out *report) error { return nil }
